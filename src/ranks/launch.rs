//! Which of how many processes this is, as its launcher says: torchrun, SLURM's srun, or an mpirun.

use crate::checks::{self, Invalid};

/// The port of the store where SLURM and mpirun name none.
const DEFAULT_PORT: u16 = 29_500;

/// The place of a process in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its number.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// Its number among those of its machine.
    pub local_rank: usize,
    /// How many of them are on its machine.
    pub local_size: usize,
    /// The host of the store.
    pub host: String,
    /// The port of the store.
    pub port: u16,
    /// Whether the launcher hosts the store: all processes are guests then.
    pub launcher_hosts_store: bool,
    /// How many times the launcher has started the group before.
    pub attempt: usize,
}

/// Where a launcher leaves the place of a process.
struct Launcher {
    /// The variables of its number, the count, and number and count on the machine.
    names: [&'static str; 4],
    /// So many of them are set by this launcher alone.
    num_telling: usize,
}

const LAUNCHERS: [Launcher; 4] = [
    // torchrun.
    Launcher { names: ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"], num_telling: 2 },
    // Open MPI's mpirun.
    Launcher {
        names: [
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
        ],
        num_telling: 2,
    },
    // The mpirun of MPICH and Intel MPI. srun may set the first two.
    Launcher {
        names: ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
        num_telling: 3,
    },
    // srun, by which an mpirun may have started what starts its processes. Only a step has these counts: what a batch script runs
    // itself is one process, however many tasks its job has.
    Launcher {
        names: [
            "SLURM_PROCID",
            "SLURM_STEP_NUM_TASKS",
            "SLURM_LOCALID",
            "SLURM_STEP_TASKS_PER_NODE",
        ],
        num_telling: 2,
    },
];

impl Launch {
    /// A process by itself.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            size: 1,
            local_rank: 0,
            local_size: 1,
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
            launcher_hosts_store: false,
            attempt: 0,
        }
    }

    /// The environment of a process that is to find itself in this place.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("RANK", self.rank.to_string()),
            ("WORLD_SIZE", self.size.to_string()),
            ("LOCAL_RANK", self.local_rank.to_string()),
            ("LOCAL_WORLD_SIZE", self.local_size.to_string()),
            ("MASTER_ADDR", self.host.clone()),
            ("MASTER_PORT", self.port.to_string()),
        ]
    }

    /// As the environment of the process says.
    ///
    /// # Errors
    /// A variable that does not fit, by its name.
    pub fn from_environment() -> Result<Self, Invalid> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let number = |name: &str| -> Result<Option<usize>, Invalid> {
            let parsed = variable(name).map(|value| {
                value.parse::<usize>().map_err(|_| {
                    Invalid(format!("{name}: expected a whole number, found \"{value}\""))
                })
            });
            parsed.transpose()
        };
        let is_there = |launcher: &&Launcher| {
            launcher.names[..launcher.num_telling].iter().all(|name| variable(name).is_some())
        };
        let Some(launcher) = LAUNCHERS.iter().find(is_there) else { return Ok(Self::alone()) };
        let [rank_name, size_name, local_name, local_size_name] = launcher.names;
        let size = number(size_name)?.unwrap_or(1);
        if size <= 1 {
            return Ok(Self::alone());
        }
        let rank = number(rank_name)?.unwrap_or(0);
        checks::require(rank < size, rank_name, format!("below {size_name}, {size}"), rank)?;
        let local_rank = number(local_name)?.unwrap_or(0);
        // Of SLURM, such as "4(x2),1": that of its first machines.
        let local_size = variable(local_size_name).and_then(|value| {
            let digits = value.split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse::<usize>().ok()
        });
        let local_size = local_size.unwrap_or(1).max(local_rank + 1);
        let host = variable("MASTER_ADDR")
            .or_else(|| variable("SLURM_LAUNCH_NODE_IPADDR"))
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = number("MASTER_PORT")?.unwrap_or(DEFAULT_PORT.into());
        let port = u16::try_from(port)
            .map_err(|_| Invalid(format!("MASTER_PORT: expected at most 65535, found {port}")))?;
        let launcher_hosts_store = variable("TORCHELASTIC_USE_AGENT_STORE")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let attempt = number("TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0);
        Ok(Self { rank, size, local_rank, local_size, host, port, launcher_hosts_store, attempt })
    }

    /// Whether this process hosts the store.
    pub fn hosts_store(&self) -> bool {
        self.rank == 0 && !self.launcher_hosts_store
    }

    /// Whether this process writes and prints for the group.
    pub fn is_lead(&self) -> bool {
        self.rank == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Result<Launch, Invalid> {
        Launch::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const TORCHRUN: [(&str, &str); 7] = [
        ("RANK", "5"),
        ("WORLD_SIZE", "8"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "4"),
        ("MASTER_ADDR", "node7"),
        ("MASTER_PORT", "4321"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
    ];

    #[test]
    fn launchers_say_who_a_process_is() {
        let found = launch(&TORCHRUN).unwrap();
        let expected = Launch {
            rank: 5,
            size: 8,
            local_rank: 1,
            local_size: 4,
            host: "node7".to_owned(),
            port: 4321,
            launcher_hosts_store: true,
            attempt: 0,
        };
        assert_eq!(found, expected);
        let slurm = [
            ("SLURM_PROCID", "6"),
            ("SLURM_STEP_NUM_TASKS", "9"),
            ("SLURM_LOCALID", "2"),
            ("SLURM_STEP_TASKS_PER_NODE", "4(x2),1"),
            ("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7"),
        ];
        let found = launch(&slurm).unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (6, 9, 2, 4));
        assert_eq!((found.host.as_str(), found.launcher_hosts_store), ("10.0.0.7", false));
        // Not MPICH: srun speaks its protocol too.
        let found = launch(&[&slurm[..], &[("PMI_RANK", "6"), ("PMI_SIZE", "9")]].concat());
        assert_eq!(found.unwrap().local_rank, 2);
        let mpich = [
            ("PMI_RANK", "3"),
            ("PMI_SIZE", "4"),
            ("MPI_LOCALRANKID", "1"),
            ("MPI_LOCALNRANKS", "2"),
        ];
        let found = launch(&[&slurm[..], &mpich].concat()).unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (3, 4, 1, 2));
        let mpi = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
        let found = launch(&mpi).unwrap();
        assert_eq!((found.rank, found.size, found.port), (1, 2, DEFAULT_PORT));
    }

    #[test]
    fn a_process_finds_itself_where_its_starter_puts_it() {
        let place = Launch {
            rank: 2,
            size: 3,
            local_rank: 2,
            local_size: 3,
            port: 4321,
            ..Launch::alone()
        };
        let variables = place.variables();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(launch(&variables).unwrap(), place);
    }

    #[test]
    fn one_task_is_a_process_by_itself() {
        for variables in [
            vec![],
            vec![("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")],
            // In a batch script.
            vec![("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")],
            vec![("WORLD_SIZE", "1"), ("RANK", "0")],
            vec![("RANK", "0")],
        ] {
            assert_eq!(launch(&variables).unwrap(), Launch::alone(), "{variables:?}");
        }
    }

    #[test]
    fn variables_that_do_not_fit_are_named() {
        for (change, expected) in [
            (("RANK", "8"), "RANK: expected below WORLD_SIZE, 8, found 8"),
            (("RANK", "-1"), "RANK: expected a whole number, found \"-1\""),
            (("MASTER_PORT", "70000"), "MASTER_PORT: expected at most 65535, found 70000"),
        ] {
            let variables = TORCHRUN.map(|it| if it.0 == change.0 { change } else { it });
            assert_eq!(launch(&variables).unwrap_err().to_string(), expected);
        }
    }
}
