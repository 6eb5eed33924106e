//! The part of a parameter set that one task sees: some rows of some slots, and the other slots whole.
//!
//! A view is a linear map S. [`TaskView::gather`] applies it, [`TaskView::scatter_add`] its adjoint. Rows outside a view have
//! a zero gradient. An optimizer that starts fresh and decays no weights leaves them where they are, so that adapting the
//! rows of a view gives the same result as adapting them all. Whether the optimizer is such a one, the caller has to know.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};

use super::layout::{Layout, Slot, SlotId};
use super::set::ParamSet;

/// Some rows of some slots.
#[derive(Debug)]
pub struct TaskView {
    /// Slots of which not every row is seen, or not once each, with those that are.
    rows: Vec<(SlotId, Rows)>,
    layout: Arc<Layout>,
}

/// The rows of a slot that a task sees, in its order.
#[derive(Debug)]
pub enum Rows {
    /// These, each once: distinct, `[rows]`, int64.
    Distinct(Tensor),
    /// One row, seen `count` times.
    Repeated {
        /// The row.
        row: i64,
        /// How often it is seen.
        count: i64,
    },
}

impl Rows {
    /// These rows, which are distinct, for parameters on `device`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn distinct(rows: &[i64], device: Device) -> Result<Self, TchError> {
        Ok(Self::Distinct(Tensor::f_from_slice(rows)?.f_to_device(device)?))
    }

    /// How many rows a task sees.
    pub fn len(&self) -> i64 {
        match self {
            Self::Distinct(rows) => rows.numel() as i64,
            Self::Repeated { count, .. } => *count,
        }
    }

    /// Whether a task sees none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn gather(&self, full: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Distinct(rows) => full.f_index_select(0, rows),
            Self::Repeated { row, count } => {
                let mut size = full.size();
                size[0] = *count;
                full.f_narrow(0, *row, 1)?.f_expand(&size, false)?.f_contiguous()
            }
        }
    }

    /// The adjoint. Rows are distinct or summed first, so that the order of additions is fixed.
    fn scatter_add(&self, full: &mut Tensor, part: &Tensor) -> Result<(), TchError> {
        match self {
            Self::Distinct(rows) => {
                let _ = full.f_index_add_(0, rows, part)?;
            }
            Self::Repeated { row, .. } => {
                let sum = part.f_sum_dim_intlist([0].as_slice(), true, part.kind())?;
                let _ = full.f_narrow(0, *row, 1)?.f_add_(&sum)?;
            }
        }
        Ok(())
    }
}

impl TaskView {
    /// The view of everything.
    pub fn whole(layout: &Arc<Layout>) -> Self {
        Self { rows: Vec::new(), layout: layout.clone() }
    }

    /// The same view with only these rows of `slot`, of which it had all.
    pub fn with_rows(mut self, slot: SlotId, rows: Rows) -> Self {
        self.layout = Arc::new(self.layout.with_rows(slot, rows.len()));
        self.rows.push((slot, rows));
        self
    }

    /// The layout of the part that the task sees.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The rows of `slot` that the task sees; `None` where it sees each of them once.
    pub fn rows(&self, slot: SlotId) -> Option<&Rows> {
        self.rows.iter().find_map(|(id, rows)| (*id == slot).then_some(rows))
    }

    /// The part of `full` that the task sees, without gradient history. Slots that are seen whole share their storage.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn gather(&self, full: &ParamSet) -> Result<ParamSet, TchError> {
        let tensor = |slot| match self.rows(slot) {
            Some(rows) => rows.gather(&full.get(slot).f_detach()?),
            None => full.get(slot).f_detach(),
        };
        let tensors = self.layout.ids().map(tensor).collect::<Result<_, _>>()?;
        Ok(ParamSet::new(self.layout.clone(), tensors))
    }

    /// Adds `part`, which has the layout of the view, to `full` in place. Rows outside the view stay as they are.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn scatter_add(&self, full: &mut ParamSet, part: &ParamSet) -> Result<(), TchError> {
        tch::no_grad(|| {
            for slot in self.layout.ids() {
                let (mine, theirs) = (full.get_mut(slot), part.get(slot));
                match self.rows(slot) {
                    Some(rows) => rows.scatter_add(mine, theirs)?,
                    None => {
                        let _ = mine.f_add_(theirs)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// `adapted` with every row of `full` again in the slots that `includes` names: its own rows, and those of `full` everywhere
    /// else. All other slots share their storage with `adapted`. Rows of those slots are distinct.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn expand(
        &self,
        full: &ParamSet,
        adapted: &ParamSet,
        includes: impl Fn(&Slot) -> bool,
    ) -> Result<ParamSet, TchError> {
        let mut expanded = adapted.share()?;
        for (slot, rows) in &self.rows {
            if let Rows::Distinct(rows) = rows
                && includes(full.layout().slot(*slot))
            {
                let own = expanded.get(*slot);
                let all = full.get(*slot).f_detach()?.f_index_copy(0, rows, own)?;
                expanded = expanded.with(*slot, all);
            }
        }
        Ok(expanded)
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

    fn seeing(layout: &Arc<Layout>, slot: SlotId, rows: &[i64]) -> TaskView {
        let rows = Rows::distinct(rows, Device::Cpu).unwrap();
        TaskView::whole(layout).with_rows(slot, rows)
    }

    fn values(params: &ParamSet) -> Vec<Vec<f64>> {
        let flat = |tensor: &Tensor| Vec::<f64>::try_from(tensor.reshape([-1])).unwrap();
        params.tensors().iter().map(flat).collect()
    }

    #[test]
    fn rows_go_out_and_come_back_to_their_places() {
        let (layout, slot) = layout();
        let full = set(&layout, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[9.0]);
        let view = seeing(&layout, slot, &[1, 3]);

        let mut part = view.gather(&full).unwrap().deep_copy().unwrap();
        assert_eq!(values(&part), [vec![2.0, 3.0, 6.0, 7.0], vec![9.0]]);
        assert_eq!(part.layout().slots()[0].shape, [2, 2]);

        part.scale(10.0).unwrap();
        let expanded = view.expand(&full, &part, |_| true).unwrap();
        let expected = [0.0, 1.0, 20.0, 30.0, 4.0, 5.0, 60.0, 70.0];
        assert_eq!(values(&expanded), [expected.to_vec(), vec![90.0]]);
        assert_eq!(expanded.layout(), &layout);
        let same = view.expand(&full, &part, |slot| slot.region == Region::Head).unwrap();
        assert_eq!(values(&same), values(&part), "the table is not of the head");

        let mut sum = full.deep_copy().unwrap();
        view.scatter_add(&mut sum, &part).unwrap();
        let expected = [0.0, 1.0, 22.0, 33.0, 4.0, 5.0, 66.0, 77.0];
        assert_eq!(values(&sum), [expected.to_vec(), vec![99.0]]);
    }

    fn dot(left: &ParamSet, right: &ParamSet) -> f64 {
        let pairs = left.tensors().iter().zip(right.tensors());
        pairs.map(|(a, b)| (a * b).sum(Kind::Double).double_value(&[])).sum()
    }

    /// <Sx, y> = <x, S'y> for a view of rows in any order, of one row several times, and of everything.
    #[test]
    fn scattering_is_the_adjoint_of_gathering() {
        let (layout, slot) = layout();
        let x = set(&layout, &[0.5, 1.0, -2.0, 3.0, 4.0, 5.5, 6.0, 7.0], &[9.0]);
        let rows = seeing(&layout, slot, &[2, 0, 3]);
        let repeated = Rows::Repeated { row: 1, count: 3 };
        let repeated = TaskView::whole(&layout).with_rows(slot, repeated);
        assert_eq!(values(&repeated.gather(&x).unwrap())[0], [-2.0, 3.0].repeat(3));
        let part = [1.0, -2.0, 3.0, 5.0, 0.25, 0.5];
        let all = [part.as_slice(), &[7.0, -1.0]].concat();
        let whole = TaskView::whole(&layout);
        for (view, y) in [(rows, &part[..]), (repeated, &part[..]), (whole, &all)] {
            let y = set(view.layout(), y, &[-3.0]);
            let mut back = x.zeros_like().unwrap();
            view.scatter_add(&mut back, &y).unwrap();
            // Sums of a few products of short binary fractions: exact.
            assert_eq!(dot(&view.gather(&x).unwrap(), &y), dot(&x, &back));
        }
    }
}
