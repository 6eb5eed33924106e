//! The names, shapes and regions of the tensors that parameter sets of one model share.

/// How a slot that no checkpoint provides gets its first values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// All this value.
    Constant(f64),
}

/// The part of a model that a slot belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Tables that ids look up, with their norm.
    Embeddings,
    /// The encoder layer of this number, counted from 0.
    Layer(u16),
    /// What turns hidden states into one vector a text.
    Pooler,
    /// What turns that vector into logits.
    Head,
    /// Learned step sizes of the inner loop: of the meta-parameters, and of no model.
    StepSizes,
}

/// One named tensor of a layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Name in the Hugging Face convention, such as `bert.pooler.dense.weight`.
    pub name: String,
    /// The part of the model.
    pub region: Region,
    /// Shape.
    pub shape: Vec<i64>,
    /// First values where no checkpoint provides them.
    pub init: Init,
}

/// Index of a slot in its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(pub(super) usize);

/// The ordered list of slots that every [`ParamSet`](super::ParamSet) of one model shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub(super) slots: Vec<Slot>,
}

impl Layout {
    /// Appends a slot and returns its index.
    pub fn register(
        &mut self,
        name: impl Into<String>,
        region: Region,
        shape: &[i64],
        init: Init,
    ) -> SlotId {
        self.slots.push(Slot { name: name.into(), region, shape: shape.to_vec(), init });
        SlotId(self.slots.len() - 1)
    }

    /// The same slots with another number of rows in one.
    pub fn with_rows(&self, slot: SlotId, num_rows: i64) -> Self {
        let mut layout = self.clone();
        layout.slots[slot.0].shape[0] = num_rows;
        layout
    }

    /// The slots that `includes` names.
    pub fn select(&self, includes: impl Fn(&Slot) -> bool) -> Self {
        Self { slots: self.slots.iter().filter(|slot| includes(slot)).cloned().collect() }
    }

    /// The slots in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// One slot.
    pub fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id.0]
    }

    /// The index of the slot of this name.
    pub fn find(&self, name: &str) -> Option<SlotId> {
        self.slots.iter().position(|slot| slot.name == name).map(SlotId)
    }

    /// The indices of the slots in order.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(SlotId)
    }

    /// Number of scalar parameters in all slots.
    pub fn num_parameters(&self) -> i64 {
        self.slots.iter().map(|slot| slot.shape.iter().product::<i64>()).sum()
    }
}
