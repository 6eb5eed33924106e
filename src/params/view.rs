//! The part of a parameter set that one task sees: some rows of some slots, and the other slots whole.
//!
//! A view is a linear map S. [`TaskView::gather`] applies it, [`TaskView::scatter_add`] its adjoint. Rows outside a view have
//! a zero gradient. An optimizer that starts fresh and decays no weights leaves them where they are, so that adapting the
//! rows of a view gives the same result as adapting them all. Whether the optimizer is such a one, the caller has to know.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};

use super::set::{Layout, ParamSet, SlotId};

/// Some rows of some slots.
#[derive(Debug)]
pub struct TaskView {
    /// Slots of which not every row is seen, with those that are: distinct, `[rows]`, int64.
    rows: Vec<(SlotId, Tensor)>,
    layout: Arc<Layout>,
}

impl TaskView {
    /// The view of everything.
    pub fn whole(layout: &Arc<Layout>) -> Self {
        Self { rows: Vec::new(), layout: layout.clone() }
    }

    /// The view of `rows`, which are distinct, of `slot` and of all other slots, for parameters on `device`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn of_rows(
        layout: &Layout,
        slot: SlotId,
        rows: &[u32],
        device: Device,
    ) -> Result<Self, TchError> {
        let rows: Vec<i64> = rows.iter().map(|&row| i64::from(row)).collect();
        let layout = Arc::new(layout.with_rows(slot, rows.len() as i64));
        Ok(Self { rows: vec![(slot, Tensor::f_from_slice(&rows)?.f_to_device(device)?)], layout })
    }

    /// The layout of what the task sees.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The rows of `slot` that the task sees, `[rows]`, int64; `None` where it sees them all.
    pub fn rows(&self, slot: SlotId) -> Option<&Tensor> {
        self.rows.iter().find_map(|(id, rows)| (*id == slot).then_some(rows))
    }

    /// The part of `full` that the task sees, without gradient history. Slots that are seen whole share their storage.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn gather(&self, full: &ParamSet) -> Result<ParamSet, TchError> {
        self.with_rows(full, &self.layout, |slot, rows| {
            full.get(slot).f_detach()?.f_index_select(0, rows)
        })
    }

    /// Adds `part`, which has the layout of the view, to `full` in place. Rows outside the view stay as they are.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn scatter_add(&self, full: &mut ParamSet, part: &ParamSet) -> Result<(), TchError> {
        let slots: Vec<SlotId> = part.layout().ids().collect();
        tch::no_grad(|| {
            for slot in slots {
                let (mine, theirs) = (full.get_mut(slot), part.get(slot));
                let _ = match self.rows(slot) {
                    // Rows are distinct, so that the order of additions is fixed.
                    Some(rows) => mine.f_index_add_(0, rows, theirs)?,
                    None => mine.f_add_(theirs)?,
                };
            }
            Ok(())
        })
    }

    /// `adapted` with every row of `full` again: its own rows, and those of `full` everywhere else. Slots that are seen whole
    /// share their storage with `adapted`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn expand(&self, full: &ParamSet, adapted: &ParamSet) -> Result<ParamSet, TchError> {
        self.with_rows(adapted, full.layout(), |slot, rows| {
            full.get(slot).f_detach()?.f_index_copy(0, rows, &adapted.get(slot).f_detach()?)
        })
    }

    /// `params` under `layout`, with `replaced` in the place of every slot that is not seen whole.
    fn with_rows(
        &self,
        params: &ParamSet,
        layout: &Arc<Layout>,
        replaced: impl Fn(SlotId, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<ParamSet, TchError> {
        let tensor = |slot| match self.rows(slot) {
            Some(rows) => replaced(slot, rows),
            None => params.get(slot).f_detach(),
        };
        let tensors = params.layout().ids().map(tensor).collect::<Result<_, _>>()?;
        Ok(ParamSet::new(layout.clone(), tensors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Init, Region};
    use tch::Kind;

    fn layout() -> (Arc<Layout>, SlotId) {
        let mut layout = Layout::default();
        let slot = layout.register("table", Region::Embeddings, &[4, 2], Init::Zeros);
        layout.register("bias", Region::Head, &[1], Init::Zeros);
        (Arc::new(layout), slot)
    }

    fn set(layout: &Arc<Layout>, table: &[f64], bias: &[f64]) -> ParamSet {
        let table = Tensor::from_slice(table).view([-1, 2]);
        ParamSet::new(layout.clone(), vec![table, Tensor::from_slice(bias)])
    }

    fn values(params: &ParamSet) -> Vec<Vec<f64>> {
        let flat = |tensor: &Tensor| Vec::<f64>::try_from(tensor.reshape([-1])).unwrap();
        params.tensors().iter().map(flat).collect()
    }

    #[test]
    fn rows_go_out_and_come_back_to_their_places() {
        let (layout, slot) = layout();
        let full = set(&layout, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[9.0]);
        let view = TaskView::of_rows(&layout, slot, &[1, 3], Device::Cpu).unwrap();

        let mut part = view.gather(&full).unwrap().deep_copy().unwrap();
        assert_eq!(values(&part), [vec![2.0, 3.0, 6.0, 7.0], vec![9.0]]);
        assert_eq!(part.layout().slots()[0].shape, [2, 2]);

        part.scale(10.0).unwrap();
        let expanded = view.expand(&full, &part).unwrap();
        let expected = [0.0, 1.0, 20.0, 30.0, 4.0, 5.0, 60.0, 70.0];
        assert_eq!(values(&expanded), [expected.to_vec(), vec![90.0]]);
        assert_eq!(expanded.layout(), &layout);

        let mut sum = full.deep_copy().unwrap();
        view.scatter_add(&mut sum, &part).unwrap();
        let expected = [0.0, 1.0, 22.0, 33.0, 4.0, 5.0, 66.0, 77.0];
        assert_eq!(values(&sum), [expected.to_vec(), vec![99.0]]);
    }

    fn dot(left: &ParamSet, right: &ParamSet) -> f64 {
        let pairs = left.tensors().iter().zip(right.tensors());
        pairs.map(|(a, b)| (a * b).sum(Kind::Double).double_value(&[])).sum()
    }

    /// <Sx, y> = <x, S'y> for a view of rows in any order, and for the view of everything.
    #[test]
    fn scattering_is_the_adjoint_of_gathering() {
        let (layout, slot) = layout();
        let x = set(&layout, &[0.5, 1.0, -2.0, 3.0, 4.0, 5.5, 6.0, 7.0], &[9.0]);
        let rows = TaskView::of_rows(&layout, slot, &[2, 0, 3], Device::Cpu).unwrap();
        let part = [1.0, -2.0, 3.0, 5.0, 0.25, 0.5];
        let all = [part.as_slice(), &[7.0, -1.0]].concat();
        for (view, y) in [(rows, part.as_slice()), (TaskView::whole(&layout), &all)] {
            let y = set(view.layout(), y, &[-3.0]);
            let mut back = x.zeros_like().unwrap();
            view.scatter_add(&mut back, &y).unwrap();
            // Sums of a few products of short binary fractions: exact.
            assert_eq!(dot(&view.gather(&x).unwrap(), &y), dot(&x, &back));
        }
    }
}
