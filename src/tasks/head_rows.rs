//! The rows of a head that belong to the labels of a task.

use tch::{TchError, Tensor};

use crate::data::{LabelId, LabelSet};
use crate::meta::HeadStart;
use crate::meta::step_rule::step_sizes_of;
use crate::model::classifier::Head;
use crate::params::{ParamSet, Rows, SlotId, TaskView};

/// For each label of a dataset its row in a head; `None` for a label that the head does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRows(Vec<Option<i64>>);

impl HeadRows {
    /// The rows of the labels called `labels` in a head whose rows are called `rows`.
    pub fn by_name(labels: &[String], rows: &[String]) -> Self {
        let row_of = |label: &String| rows.iter().position(|row| row == label);
        Self(labels.iter().map(|label| row_of(label).map(|row| row as i64)).collect())
    }

    /// Whether the head knows every one of `labels`.
    pub fn know(&self, labels: &LabelSet) -> bool {
        labels.ids().iter().all(|&label| self.row_of(label).is_some())
    }

    fn of(&self, labels: &LabelSet) -> Vec<Option<i64>> {
        labels.ids().iter().map(|&label| self.row_of(label)).collect()
    }

    fn row_of(&self, label: LabelId) -> Option<i64> {
        self.0[label as usize]
    }

    /// `view` with only the rows of `labels`, in their order, of the head and its step sizes.
    ///
    /// # Errors
    /// Any error of libtorch.
    ///
    /// # Panics
    /// If the head does not know one of the labels.
    pub fn see(
        &self,
        view: TaskView,
        full: &ParamSet,
        head: Head,
        labels: &LabelSet,
        start: HeadStart,
    ) -> Result<TaskView, TchError> {
        let num_rows = full.get(head.weight).size()[0];
        let rows: Vec<i64> =
            self.of(labels).iter().map(|row| row.expect("the head knows the label")).collect();
        if start != HeadStart::Shared && rows.iter().copied().eq(0..num_rows) {
            return Ok(view);
        }
        let rows = || match start {
            HeadStart::Shared => Ok(Rows::Repeated { row: 0, count: rows.len() as i64 }),
            _ => Rows::distinct(&rows, full.device()),
        };
        let mut view = view;
        for slot in slots(full, head) {
            view = view.with_rows(slot, rows()?);
        }
        Ok(view)
    }

    /// `params` with the head that an adaptation to `labels` starts from: a known label has its own row, any other the mean of
    /// all rows, and with a shared head each has the first.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn select(
        &self,
        params: &ParamSet,
        head: Head,
        labels: &LabelSet,
        start: HeadStart,
    ) -> Result<ParamSet, TchError> {
        let rows = match start {
            HeadStart::Shared => vec![Some(0); labels.len()],
            _ => self.of(labels),
        };
        let num_rows = params.get(head.weight).size()[0];
        let mut selected = params.shallow_clone();
        if !rows.iter().copied().eq((0..num_rows).map(Some)) {
            for slot in slots(params, head) {
                let full = params.get(slot).f_detach()?;
                // The row after the last is the mean.
                let mean = full.f_mean_dim([0].as_slice(), true, full.kind())?;
                let rows: Vec<i64> = rows.iter().map(|row| row.unwrap_or(num_rows)).collect();
                let rows = Tensor::f_from_slice(&rows)?.f_to_device(full.device())?;
                let chosen = Tensor::f_cat(&[&full, &mean], 0)?.f_index_select(0, &rows)?;
                selected = selected.with(slot, chosen);
            }
        }
        Ok(selected)
    }
}

/// The slots with a row for each label: the head, and its step sizes where each weight has its own.
fn slots(params: &ParamSet, head: Head) -> Vec<SlotId> {
    let sizes = |slot| step_sizes_of(params.layout(), slot);
    [head.weight, head.bias]
        .into_iter()
        .flat_map(|slot| [Some(slot), sizes(slot)])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::params::{Init, Layout, Region};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn head_of(rows: &[f64]) -> (ParamSet, Head) {
        let mut layout = Layout::default();
        let count = rows.len() as i64;
        let weight = layout.register("classifier.weight", Region::Head, &[count, 1], Init::Zeros);
        let bias = layout.register("classifier.bias", Region::Head, &[count], Init::Zeros);
        let weights = Tensor::from_slice(rows);
        let tensors = vec![weights.view([count, 1]), weights * 10.0];
        (ParamSet::new(Arc::new(layout), tensors), Head { weight, bias })
    }

    fn values(params: &ParamSet, head: Head) -> Vec<f64> {
        Vec::try_from(params.get(head.bias)).unwrap()
    }

    #[test]
    fn a_label_has_its_row_by_name_and_a_new_one_the_mean_of_all() {
        let (params, head) = head_of(&[1.0, 2.0, 6.0]);
        let rows = HeadRows::by_name(&names(&["c", "new", "a"]), &names(&["a", "b", "c"]));
        let select = |labels: LabelSet, start| {
            values(&rows.select(&params, head, &labels, start).unwrap(), head)
        };
        assert_eq!(select(LabelSet::all(3), HeadStart::Meta), [60.0, 30.0, 10.0]);
        assert_eq!(select([1, 2].into_iter().collect(), HeadStart::Meta), [30.0, 10.0]);
        assert_eq!(select(LabelSet::all(3), HeadStart::Shared), [10.0; 3]);
    }

    #[test]
    fn a_task_sees_the_rows_of_its_labels() {
        let (params, head) = head_of(&[1.0, 2.0, 6.0]);
        let rows = HeadRows::by_name(&names(&["a", "b", "c"]), &names(&["a", "b", "c"]));
        let see = |labels: &LabelSet, start| {
            let view = TaskView::whole(params.layout());
            rows.see(view, &params, head, labels, start).unwrap()
        };
        let seen =
            |labels: &LabelSet, start| values(&see(labels, start).gather(&params).unwrap(), head);
        let labels: LabelSet = [0, 2].into_iter().collect();
        assert_eq!(seen(&labels, HeadStart::Meta), [10.0, 60.0]);
        assert_eq!(seen(&labels, HeadStart::Shared), [10.0, 10.0]);
        assert!(see(&LabelSet::all(3), HeadStart::Meta).rows(head.weight).is_none());
    }
}
