//! Parameter sets with a compact embedding table: only the rows of one episode's wordpieces.
//!
//! Rows that no text of an episode looks up have a zero gradient. An optimizer that starts fresh and decays no weights leaves
//! them where they are, so that adapting the rows of the episode alone gives the same result. Whether the optimizer is such
//! a one is the caller's to know.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};

use super::set::{Layout, ParamSet, SlotId};

/// Some rows of one slot.
#[derive(Debug)]
pub struct CompactTable {
    slot: SlotId,
    /// The rows, ascending, `[rows]`, int64.
    rows: Tensor,
    layout: Arc<Layout>,
}

impl CompactTable {
    /// The rows `rows` (distinct) of `slot`, for parameter sets of `layout` on `device`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn new(
        layout: &Layout,
        slot: SlotId,
        rows: &[u32],
        device: Device,
    ) -> Result<Self, TchError> {
        let rows: Vec<i64> = rows.iter().map(|&row| i64::from(row)).collect();
        let layout = layout.with_rows(slot, rows.len() as i64);
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
        Ok(Self { slot, rows, layout: Arc::new(layout) })
    }

    /// `full` with only these rows of the slot. The other tensors share storage with `full`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn gather(&self, full: &ParamSet) -> Result<ParamSet, TchError> {
        let rows = full.get(self.slot).f_detach()?.f_index_select(0, &self.rows)?;
        Ok(full.with_slot(self.layout.clone(), self.slot, rows))
    }

    /// Adds `factor * compact` to `full` in place; the other rows stay as they are.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn add_scaled(
        &self,
        full: &mut ParamSet,
        compact: &ParamSet,
        factor: f64,
    ) -> Result<(), TchError> {
        full.add_scaled_but(compact, factor, Some(self.slot))?;
        tch::no_grad(|| {
            // Rows are distinct, so that the order of additions is fixed.
            let scaled = compact.get(self.slot).f_mul_scalar(factor)?;
            full.get_mut(self.slot).f_index_add_(0, &self.rows, &scaled).map(|_| ())
        })
    }

    /// `compact` with a whole table again: its own rows, and those of `full` everywhere else. The other tensors share
    /// storage with `compact`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn expand(&self, full: &ParamSet, compact: &ParamSet) -> Result<ParamSet, TchError> {
        let rows = compact.get(self.slot).f_detach()?;
        let table = full.get(self.slot).f_detach()?.f_index_copy(0, &self.rows, &rows)?;
        Ok(compact.with_slot(full.layout().clone(), self.slot, table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Init;

    fn set(layout: &Arc<Layout>, table: &[f64], bias: &[f64]) -> ParamSet {
        let table = Tensor::from_slice(table).view([4, 2]);
        ParamSet::new(layout.clone(), vec![table, Tensor::from_slice(bias)])
    }

    fn values(params: &ParamSet) -> Vec<Vec<f64>> {
        let flat = |tensor: &Tensor| Vec::<f64>::try_from(tensor.reshape([-1])).unwrap();
        params.tensors().iter().map(flat).collect()
    }

    #[test]
    fn rows_go_out_and_come_back_to_their_places() {
        let mut layout = Layout::default();
        let slot = layout.register("table", &[4, 2], Init::Zeros);
        layout.register("bias", &[1], Init::Zeros);
        let layout = Arc::new(layout);
        let full = set(&layout, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[9.0]);
        let compact_table = CompactTable::new(&layout, slot, &[1, 3], Device::Cpu).unwrap();

        let mut compact = compact_table.gather(&full).unwrap().deep_copy().unwrap();
        assert_eq!(values(&compact), [vec![2.0, 3.0, 6.0, 7.0], vec![9.0]]);
        assert_eq!(compact.layout().slots()[0].shape, [2, 2]);

        compact.scale(10.0).unwrap();
        let expanded = compact_table.expand(&full, &compact).unwrap();
        let expected = [0.0, 1.0, 20.0, 30.0, 4.0, 5.0, 60.0, 70.0];
        assert_eq!(values(&expanded), [expected.to_vec(), vec![90.0]]);
        assert_eq!(expanded.layout(), &layout);

        let mut sum = full.deep_copy().unwrap();
        compact_table.add_scaled(&mut sum, &compact, 0.5).unwrap();
        let expected = [0.0, 1.0, 12.0, 18.0, 4.0, 5.0, 36.0, 42.0];
        assert_eq!(values(&sum), [expected.to_vec(), vec![54.0]]);
    }
}
