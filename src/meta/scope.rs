//! Which weights an adaptation moves.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use rand_distr::{Distribution, Normal};
use serde::{Serialize, Serializer};
use tch::{TchError, Tensor};

use crate::params::{Init, Layout, ParamSet, Region, Slot};
use crate::seed;

/// Which weights an adaptation moves; the head is always one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// The head alone: the encoder stays as it is.
    Head,
    /// The pooler and this many layers from the last one on.
    Last(u16),
    /// Every bias (Ben Zaken et al. 2022, "BitFit").
    Bias,
    /// Low-rank changes of this rank to the queries and values of every layer (Hu et al. 2022, "LoRA").
    Lora(u16),
}

/// The factor on a low-rank change.
const LORA_SCALE: f64 = 2.0;
/// The maps that get a low-rank change.
const LORA_TARGETS: [&str; 2] = [".attention.self.query.weight", ".attention.self.value.weight"];

impl Scope {
    /// The tensors that steps change, of weights that begin at `start`. Storage and gradient history are shared, but for
    /// low-rank factors, which are drawn from `seed` so that their product is zero.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn select(self, start: &ParamSet, seed: u64) -> Result<ParamSet, TchError> {
        let num_layers = num_layers(start.layout());
        let selected = start.select(|slot| self.moves(slot, num_layers));
        match self {
            Self::Lora(rank) => Ok(selected.and(&low_rank_factors(start, rank.into(), seed)?)),
            _ => Ok(selected),
        }
    }

    /// `start` with the selected tensors as they are in `moving`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn compose(self, start: &ParamSet, moving: &ParamSet) -> Result<ParamSet, TchError> {
        let Self::Lora(_) = self else { return Ok(start.overlay(moving)) };
        let changed = start.overlay(&moving.select(|slot| !slot.name.starts_with("lora.")));
        changed.map_slots(|_, slot, weight| {
            let factor = |part: &str| {
                let id = moving.layout().find(&format!("lora.{}.{part}", slot.name))?;
                Some(moving.get(id))
            };
            match factor("a").zip(factor("b")) {
                Some((a, b)) => weight.f_add(&b.f_matmul(a)?.f_mul_scalar(LORA_SCALE)?),
                None => Ok(weight.shallow_clone()),
            }
        })
    }

    /// Whether any weight of the encoder moves.
    pub fn moves_encoder(self) -> bool {
        self != Self::Head
    }

    /// Whether the tables that wordpieces look up move.
    pub(super) fn moves_tables(self) -> bool {
        self == Self::All
    }

    /// Whether `slot` of a model of `num_layers` layers moves itself.
    pub(super) fn moves(self, slot: &Slot, num_layers: u16) -> bool {
        match (slot.region, self) {
            (Region::StepSizes, _) => false,
            (Region::Head, _) | (_, Self::All) => true,
            (Region::Layer(layer), Self::Last(count)) => layer.saturating_add(count) >= num_layers,
            (Region::Pooler, Self::Last(_)) => true,
            (_, Self::Bias) => slot.name.ends_with(".bias"),
            (_, Self::Head | Self::Last(_) | Self::Lora(_)) => false,
        }
    }
}

/// The number of encoder layers.
pub(super) fn num_layers(layout: &Layout) -> u16 {
    let layers = layout.slots().iter().filter_map(|slot| match slot.region {
        Region::Layer(layer) => Some(layer + 1),
        _ => None,
    });
    layers.max().unwrap_or(0)
}

/// For each target `[out, in]` a factor `a` `[rank, in]`, normal with variance 1 / in, and a factor `b` `[out, rank]` of zeros.
fn low_rank_factors(start: &ParamSet, rank: i64, seed: u64) -> Result<ParamSet, TchError> {
    let mut layout = Layout::default();
    let mut tensors = Vec::new();
    let slots = start.layout().slots().iter().zip(start.tensors());
    let targets = slots.filter(|(slot, _)| LORA_TARGETS.iter().any(|it| slot.name.ends_with(it)));
    for (slot, weight) in targets {
        let [out, inputs] = slot.shape[..] else { unreachable!("an affine map is a matrix") };
        let std = (1.0 / inputs as f64).sqrt();
        let normal = Normal::new(0.0, std).expect("a layer has inputs");
        let mut rng = seed::rng(seed, &format!("low-rank factor of {}", slot.name), 0);
        let drawn: Vec<f64> = normal.sample_iter(&mut rng).take((rank * inputs) as usize).collect();
        let options = (weight.kind(), weight.device());
        let a = Tensor::f_from_slice(&drawn)?.f_view([rank, inputs])?;
        let factors = [
            ("a", Init::Normal(std), a.f_to_kind(weight.kind())?.f_to_device(weight.device())?),
            ("b", Init::Zeros, Tensor::f_zeros([out, rank], options)?),
        ];
        for (part, init, factor) in factors {
            let name = format!("lora.{}.{part}", slot.name);
            layout.register(name, slot.region, &factor.size(), init);
            tensors.push(factor);
        }
    }
    Ok(ParamSet::new(Arc::new(layout), tensors))
}

impl Display for Scope {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Head => formatter.write_str("head"),
            Self::Last(count) => write!(formatter, "last:{count}"),
            Self::Bias => formatter.write_str("bias"),
            Self::Lora(rank) => write!(formatter, "lora:{rank}"),
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().ok().filter(|number| *number > 0);
        let found = match word.split_once(':') {
            None => {
                [Self::All, Self::Head, Self::Bias].into_iter().find(|it| it.to_string() == word)
            }
            Some(("last", layers)) => number(layers).map(Self::Last),
            Some(("lora", rank)) => number(rank).map(Self::Lora),
            Some(_) => None,
        };
        let expected = "expected auto, all, head, last:N, bias or lora:R";
        found.ok_or_else(|| format!("{expected}, found \"{word}\""))
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
