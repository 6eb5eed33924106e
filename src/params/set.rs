//! Ordered sets of named tensors that share one layout.
//!
//! Meta-parameters, fast weights, gradients, optimizer moments and checkpoints are all
//! [`ParamSet`]s. Knows no model and no file.

use std::sync::Arc;

use tch::{Device, Kind, TchError, Tensor};

use super::layout::{Layout, Slot, SlotId};
use crate::torch_ext;

/// One tensor for each slot of a layout, in the layout's order.
#[derive(Debug)]
pub struct ParamSet {
    layout: Arc<Layout>,
    tensors: Vec<Tensor>,
}

impl ParamSet {
    /// Wraps `tensors`, one a slot and in the layout's order.
    pub fn new(layout: Arc<Layout>, tensors: Vec<Tensor>) -> Self {
        assert_eq!(layout.slots.len(), tensors.len(), "one tensor for each slot");
        for (slot, tensor) in layout.slots.iter().zip(&tensors) {
            debug_assert_eq!(slot.shape, tensor.size(), "shape of {}", slot.name);
        }
        Self { layout, tensors }
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The tensor of one slot.
    pub fn get(&self, slot: SlotId) -> &Tensor {
        &self.tensors[slot.0]
    }

    /// The tensor of one slot, to be changed in place.
    pub(super) fn get_mut(&mut self, slot: SlotId) -> &mut Tensor {
        &mut self.tensors[slot.0]
    }

    /// The same storage and gradient history under another handle.
    pub fn shallow_clone(&self) -> Self {
        let tensors = self.tensors.iter().map(Tensor::shallow_clone).collect();
        Self { layout: self.layout.clone(), tensors }
    }

    /// The same storage as functions of these tensors: gradients with respect to the aliases end there.
    pub fn aliases(&self) -> Result<Self, TchError> {
        self.map(Tensor::f_alias)
    }

    /// The same storage under another handle, without gradient history: another thread may read it.
    pub fn share(&self) -> Result<Self, TchError> {
        self.map(Tensor::f_detach)
    }

    /// The tensors of the slots that `includes` names, under a layout of these slots alone. Storage and gradient history are
    /// shared.
    pub fn select(&self, includes: impl Fn(&Slot) -> bool) -> Self {
        let slots = self.layout.slots.iter();
        let chosen = slots.zip(&self.tensors).filter(|(slot, _)| includes(slot));
        let (slots, tensors): (Vec<Slot>, Vec<Tensor>) =
            chosen.map(|(slot, tensor)| (slot.clone(), tensor.shallow_clone())).unzip();
        // Where everything is chosen the layout stays the same one, not only an equal one.
        let layout = match slots.len() == self.tensors.len() {
            true => self.layout.clone(),
            false => Arc::new(Layout { slots }),
        };
        Self { layout, tensors }
    }

    /// These tensors, but with those of `part`, a [`select`](Self::select)ion of a set with this layout, in their places.
    /// Storage and gradient history are shared.
    pub fn overlay(&self, part: &Self) -> Self {
        let mut chosen = part.iter().peekable();
        let place = |(name, mine): (&str, &Tensor)| {
            let chosen = chosen.next_if(|(chosen, _)| *chosen == name);
            chosen.map_or(mine, |(_, tensor)| tensor).shallow_clone()
        };
        let tensors = self.iter().map(place).collect();
        assert!(chosen.peek().is_none(), "the part is a selection of this layout's slots");
        Self { layout: self.layout.clone(), tensors }
    }

    /// These tensors, and after them those of `other`. Storage and gradient history are shared.
    pub fn and(&self, other: &Self) -> Self {
        let slots = [self, other].map(|set| set.layout.slots()).concat();
        let tensors = [self.shallow_clone().tensors, other.shallow_clone().tensors];
        Self {
            layout: Arc::new(Layout { slots }),
            tensors: tensors.into_iter().flatten().collect(),
        }
    }

    /// These tensors with `tensor`, which may have another number of rows, in the place of one.
    pub fn with(&self, slot: SlotId, tensor: Tensor) -> Self {
        let layout = match self.layout.slots[slot.0].shape == tensor.size() {
            true => self.layout.clone(),
            false => Arc::new(self.layout.with_rows(slot, tensor.size()[0])),
        };
        let mut tensors = self.shallow_clone().tensors;
        tensors[slot.0] = tensor;
        Self { layout, tensors }
    }

    /// The tensors in the layout's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Names and tensors in the layout's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.layout.slots.iter().map(|slot| slot.name.as_str()).zip(&self.tensors)
    }

    /// The device of the tensors.
    pub fn device(&self) -> Device {
        self.tensors.first().map_or(Device::Cpu, Tensor::device)
    }

    /// New tensors of the same shapes, each made by `f` from a slot and its tensor.
    pub fn map_slots(
        &self,
        f: impl Fn(SlotId, &Slot, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Self, TchError> {
        let slots = self.layout.ids().zip(self.layout.slots()).zip(&self.tensors);
        let tensors = slots.map(|((id, slot), tensor)| f(id, slot, tensor));
        Ok(Self { layout: self.layout.clone(), tensors: tensors.collect::<Result<_, _>>()? })
    }

    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        self.map_slots(|_, _, tensor| f(tensor))
    }

    /// Zeros of the same shapes, dtypes and device.
    pub fn zeros_like(&self) -> Result<Self, TchError> {
        self.map(|tensor| tensor.f_detach()?.f_zeros_like())
    }

    /// A copy with storage of its own and no gradient history.
    pub fn deep_copy(&self) -> Result<Self, TchError> {
        self.map(copy_of)
    }

    /// A deep copy whose tensors are leaves that record gradients: the start of an adaptation.
    pub fn to_fast_weights(&self) -> Result<Self, TchError> {
        self.map(|tensor| copy_of(tensor)?.f_set_requires_grad(true))
    }

    /// The same storage as leaves that record gradients.
    pub fn as_leaves(&self) -> Result<Self, TchError> {
        self.map(|tensor| tensor.f_detach()?.f_set_requires_grad(true))
    }

    /// The tensors on `device`, without gradient history.
    pub fn to_device(&self, device: Device) -> Result<Self, TchError> {
        self.map(|tensor| tensor.f_detach()?.f_to_device(device))
    }

    /// The tensors as `kind`, without gradient history.
    pub fn to_kind(&self, kind: Kind) -> Result<Self, TchError> {
        self.map(|tensor| tensor.f_detach()?.f_to_kind(kind))
    }

    /// The gradient of the scalar `loss` with respect to these tensors, which must be leaves that
    /// record gradients; zeros where the loss does not depend on a tensor.
    pub fn gradient_of(&self, loss: &Tensor) -> Result<Self, TchError> {
        self.gradients(loss, false)
    }

    /// The same for tensors that may themselves depend on others, as a function of these that can be differentiated again.
    /// The graph of `loss` is kept.
    pub fn differentiable_gradient_of(&self, loss: &Tensor) -> Result<Self, TchError> {
        self.gradients(loss, true)
    }

    fn gradients(&self, loss: &Tensor, create_graph: bool) -> Result<Self, TchError> {
        let _span = tracing::trace_span!("backward").entered();
        let inputs: Vec<&Tensor> = self.tensors.iter().collect();
        let tensors = torch_ext::gradients(loss, &inputs, create_graph)?;
        Ok(Self { layout: self.layout.clone(), tensors })
    }

    /// Adds `factor * other` in place.
    pub fn add_scaled(&mut self, other: &Self, factor: f64) -> Result<(), TchError> {
        self.add_scaled_by(other, |_| factor)
    }

    /// Adds `other` in place, each slot times its factor.
    pub fn add_scaled_by(
        &mut self,
        other: &Self,
        factor: impl Fn(&Slot) -> f64,
    ) -> Result<(), TchError> {
        tch::no_grad(|| {
            let slots = self.layout.slots.iter().zip(&mut self.tensors);
            for ((slot, mine), theirs) in slots.zip(&other.tensors) {
                let _ = mine.f_add_(&theirs.f_mul_scalar(factor(slot))?)?;
            }
            Ok(())
        })
    }

    /// Multiplies by `factor` in place.
    pub fn scale(&mut self, factor: f64) -> Result<(), TchError> {
        tch::no_grad(|| {
            for tensor in &mut self.tensors {
                let _ = tensor.f_mul_scalar_(factor)?;
            }
            Ok(())
        })
    }

    /// `self - other`, without gradient history.
    pub fn difference(&self, other: &Self) -> Result<Self, TchError> {
        tch::no_grad(|| {
            let pairs = self.tensors.iter().zip(&other.tensors);
            let tensors = pairs.map(|(a, b)| a.f_sub(b)).collect::<Result<_, _>>()?;
            Ok(Self { layout: self.layout.clone(), tensors })
        })
    }

    /// The L2 norm over all tensors as a 0-dimensional tensor on their device; NaN or infinite
    /// exactly where an element is (or the squares overflow).
    pub fn global_norm(&self) -> Result<Tensor, TchError> {
        let norms: Vec<Tensor> =
            self.tensors.iter().map(|tensor| tensor.f_norm()).collect::<Result<_, _>>()?;
        Tensor::f_stack(&norms, 0)?.f_norm()
    }

    /// The name of the first tensor with a NaN or infinite element.
    pub fn first_non_finite(&self) -> Result<Option<&str>, TchError> {
        for (name, tensor) in self.iter() {
            if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// A copy with storage of its own and no gradient history.
fn copy_of(tensor: &Tensor) -> Result<Tensor, TchError> {
    let tensor = tensor.f_detach()?;
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(&tensor)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Init, Region};

    fn set(values: &[f64]) -> ParamSet {
        let mut layout = Layout::default();
        layout.register("a", Region::Layer(0), &[values.len() as i64], Init::Zeros);
        ParamSet::new(Arc::new(layout), vec![Tensor::from_slice(values)])
    }

    #[test]
    fn fast_weights_do_not_share_storage_with_their_origin() {
        let origin = set(&[1.0, 2.0]);
        let mut fast = origin.to_fast_weights().unwrap();
        fast.scale(3.0).unwrap();
        assert_eq!(Vec::<f64>::try_from(&origin.tensors()[0]).unwrap(), [1.0, 2.0]);
        assert_eq!(Vec::<f64>::try_from(fast.tensors()[0].detach()).unwrap(), [3.0, 6.0]);
    }

    #[test]
    fn the_global_norm_is_that_of_all_elements() {
        let mut layout = Layout::default();
        layout.register("a", Region::Layer(0), &[1], Init::Zeros);
        layout.register("b", Region::Head, &[1], Init::Zeros);
        let both = vec![Tensor::from_slice(&[3.0]), Tensor::from_slice(&[-4.0])];
        let set = ParamSet::new(Arc::new(layout), both);
        assert_eq!(set.global_norm().unwrap().double_value(&[]), 5.0);
    }

    #[test]
    fn a_non_finite_element_is_named() {
        assert_eq!(set(&[1.0]).first_non_finite().unwrap(), None);
        assert_eq!(set(&[1.0, f64::NAN]).first_non_finite().unwrap(), Some("a"));
        assert_eq!(set(&[f64::INFINITY]).first_non_finite().unwrap(), Some("a"));
    }

    #[test]
    fn a_selection_laid_back_over_its_set_changes_that_part_alone() {
        let mut layout = Layout::default();
        for (name, region) in [("a", Region::Layer(0)), ("b", Region::Head), ("c", Region::Head)] {
            layout.register(name, region, &[1], Init::Zeros);
        }
        let tensors = [1.0, 2.0, 3.0].map(|value| Tensor::from_slice(&[value])).into();
        let set = ParamSet::new(Arc::new(layout), tensors);
        let values = |set: &ParamSet| -> Vec<f64> {
            set.tensors().iter().map(|tensor| tensor.double_value(&[0])).collect()
        };
        let mut head = set.select(|slot| slot.region == Region::Head).deep_copy().unwrap();
        assert_eq!(values(&head), [2.0, 3.0]);
        head.scale(10.0).unwrap();
        assert_eq!(values(&set.overlay(&head)), [1.0, 20.0, 30.0]);
        assert_eq!(values(&set.overlay(&set.select(|_| false))), [1.0, 2.0, 3.0]);
        let all = set.select(|_| true);
        assert!(Arc::ptr_eq(all.layout(), set.layout()));
        assert_eq!(values(&set.overlay(&all)), [1.0, 2.0, 3.0]);
    }
}
