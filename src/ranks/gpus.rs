//! Whether the processes of a group sum tensors on their GPUs, by NCCL.

use std::fs;

use rustix::system::uname;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::{Group, GroupError};
use crate::torch_ext::{Communicator, Nccl, pci_bus_id};

/// How the sums of a group travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// From GPU to GPU, by this release of NCCL.
    Nccl {
        /// Such as 2.28.9.
        version: String,
    },
    /// Between the hosts, by Gloo.
    Gloo {
        /// Why GPUs of the group do not exchange them themselves.
        reason: String,
    },
}

/// What the other processes have to know of the GPU of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    /// The machine, whatever its containers call it.
    host: String,
    /// Where the GPU is in its machine; absent for a CPU.
    gpu: Option<String>,
    /// The release of NCCL, or why there is none.
    nccl: Result<String, String>,
}

impl Group {
    /// Connects the GPUs of all processes by NCCL, where each has one of its own, `device`, and none of them `refuses`.
    ///
    /// # Errors
    /// Lost processes.
    pub fn connect_gpus(
        &self,
        device: Device,
        refuses: Option<&str>,
    ) -> Result<Transport, GroupError> {
        let nccl = match refuses {
            Some(reason) => Err(reason.to_owned()),
            None => Nccl::loaded().map(Nccl::version),
        };
        let place = Place { host: machine_id(), gpu: pci_bus_id(device), nccl };
        let version = match common_release(&self.all_values(&place)?) {
            Ok(version) => version,
            Err(reason) => return Ok(Transport::Gloo { reason }),
        };
        let nccl = Nccl::loaded().expect("every process has just named its release");
        let Device::Cuda(index) = device else { unreachable!("every process has named its GPU") };
        let id = match self.is_lead() {
            true => nccl.new_id().map_err(|error| error.to_string()),
            false => Ok(Vec::new()),
        };
        let tried = self.of_lead(id)?.and_then(|id| self.tried(nccl, &id, index).map_err(text_of));
        // All of them, or none.
        let failures = self.all_values(&tried.as_ref().err().cloned())?;
        for (rank, failure) in failures.into_iter().enumerate() {
            if let Some(reason) = failure {
                return Ok(Transport::Gloo { reason: format!("rank {rank}: {reason}") });
            }
        }
        if let Ok(gpus) = tried {
            self.set_gpus(gpus);
        }
        Ok(Transport::Nccl { version })
    }

    /// The GPUs of the group, once they have added up tensors: only then NCCL makes all its connections and buffers.
    fn tried(
        &self,
        nccl: &'static Nccl,
        id: &[u8],
        device: usize,
    ) -> Result<Communicator, TchError> {
        let place = (self.rank(), self.size());
        // One that has failed waits for the others, which have to give up before it does.
        let patience = self.timeout() / 2;
        let others_are_there = || self.others_are_there();
        let gpus = Communicator::join(nccl, id, place, device, patience, others_are_there)?;
        for count in TRIAL {
            let ones = Tensor::f_ones([count], (Kind::Float, Device::Cuda(device)))?;
            gpus.all_reduce(std::slice::from_ref(&ones), || self.others_are_there())?;
            let found = ones.f_get(count - 1)?.f_double_value(&[])?;
            if found != self.size() as f64 {
                let expected = self.size();
                return Err(TchError::Torch(format!("a sum of {expected} ones is {found}")));
            }
        }
        Ok(gpus.with_timeout(self.timeout()))
    }
}

/// Lengths of the vectors that are added up to try the connections: NCCL sends short and long ones on different ways.
const TRIAL: [i64; 2] = [1, 1 << 23];

fn text_of(error: TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What processes of one machine have in common, also those in containers with names of their own.
fn machine_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let id = id.map(|id| id.trim().to_owned());
    id.unwrap_or_else(|_| uname().nodename().to_string_lossy().into_owned())
}

/// The release of NCCL that all processes have, each with a GPU of its own; or why not.
fn common_release(places: &[Place]) -> Result<String, String> {
    for (rank, place) in places.iter().enumerate() {
        let Some(gpu) = &place.gpu else {
            return Err(format!("rank {rank} computes on the CPU"));
        };
        let version =
            place.nccl.as_ref().map_err(|reason| format!("rank {rank} has no NCCL: {reason}"))?;
        for (other, before) in places[..rank].iter().enumerate() {
            if (&before.host, before.gpu.as_ref()) == (&place.host, Some(gpu)) {
                return Err(format!("ranks {other} and {rank} share a GPU"));
            }
            if before.nccl.as_ref() != Ok(version) {
                let found = before.nccl.as_deref().unwrap_or_default();
                return Err(format!(
                    "rank {other} has NCCL {found}, rank {rank} has NCCL {version}"
                ));
            }
        }
    }
    places.last().map_or_else(|| Err("no processes".to_owned()), |place| place.nccl.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::threads::with_groups;

    fn place(host: &str, gpu: &str, nccl: &str) -> Place {
        let nccl = match nccl.starts_with("2.") {
            true => Ok(nccl.to_owned()),
            false => Err(nccl.to_owned()),
        };
        Place { host: host.into(), gpu: (!gpu.is_empty()).then(|| gpu.to_owned()), nccl }
    }

    #[test]
    fn gpus_are_connected_where_each_process_has_its_own() {
        for (second, expected) in [
            (place("a", "0000:02:00.0", "2.28.9"), Ok("2.28.9")),
            // The same slot of another machine.
            (place("b", "0000:01:00.0", "2.28.9"), Ok("2.28.9")),
            (place("a", "0000:01:00.0", "2.28.9"), Err("ranks 0 and 1 share a GPU")),
            (place("a", "", "2.28.9"), Err("rank 1 computes on the CPU")),
            (place("b", "0000:01:00.0", "too old"), Err("rank 1 has no NCCL: too old")),
            (
                place("b", "0000:01:00.0", "2.27.3"),
                Err("rank 0 has NCCL 2.28.9, rank 1 has NCCL 2.27.3"),
            ),
        ] {
            let found = common_release(&[place("a", "0000:01:00.0", "2.28.9"), second]);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn processes_on_cpus_exchange_between_hosts() {
        let found = with_groups(2, |group| {
            let transport = group.connect_gpus(Device::Cpu, None).unwrap();
            group.of_lead(0).unwrap();
            (transport, group.has_gpus())
        });
        let reason = "rank 0 computes on the CPU".to_owned();
        assert_eq!(found, vec![(Transport::Gloo { reason }, false); 2]);
    }
}
