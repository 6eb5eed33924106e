//! The vectors of texts under weights that do not move: embedded once, read by every adaptation.

use std::collections::HashMap;

use tch::{TchError, Tensor};

use crate::data::ExampleId;
use crate::meta::label_names::names_belong;
use crate::meta::{Embedded, Recipe};

/// The vectors of some examples, and of the names of a task's labels, under the same weights.
#[derive(Debug)]
pub struct Vectors {
    rows: HashMap<ExampleId, i64>,
    /// `[examples, hidden]`.
    features: Tensor,
    /// `[labels, hidden]`, where names are read.
    names: Option<Tensor>,
    /// Of texts without labels, `[texts, hidden]`, where these are read.
    unlabelled: Option<Tensor>,
}

impl Vectors {
    /// `features` `[examples, hidden]` are those of `examples`, in their order, and `names` `[labels, hidden]` those of the
    /// names of the labels, where they are read.
    pub fn new(examples: &[ExampleId], features: Tensor, names: Option<Tensor>) -> Self {
        let rows = examples.iter().copied().zip(0..).collect();
        Self { rows, features, names, unlabelled: None }
    }

    /// The same beside those of texts without labels, `[texts, hidden]`.
    pub fn with_unlabelled(self, features: Tensor) -> Self {
        Self { unlabelled: Some(features), ..self }
    }

    /// The same vectors for another thread to read.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn share(&self) -> Result<Self, TchError> {
        let [names, unlabelled] =
            [&self.names, &self.unlabelled].map(|it| it.as_ref().map(Tensor::f_detach).transpose());
        let (rows, features) = (self.rows.clone(), self.features.f_detach()?);
        Ok(Self { rows, features, names: names?, unlabelled: unlabelled? })
    }

    /// The vectors of `examples`, `[examples, hidden]`.
    ///
    /// # Errors
    /// Any error of libtorch.
    ///
    /// # Panics
    /// If one of them was not embedded.
    pub fn of(&self, examples: &[ExampleId]) -> Result<Tensor, TchError> {
        let rows: Vec<i64> = examples.iter().map(|example| self.rows[example]).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.features.device())?;
        self.features.f_index_select(0, &rows)
    }

    /// Whether the names of the labels belong to the texts of `support`, which have these `labels`; not without names.
    ///
    /// # Errors
    /// Any error of libtorch.
    ///
    /// # Panics
    /// If one of the texts was not embedded.
    pub fn names_belong(&self, support: &[ExampleId], labels: &[u32]) -> Result<bool, TchError> {
        let Some(names) = &self.names else { return Ok(false) };
        names_belong(&embedded(self.of(support)?, labels, None)?, names)
    }

    /// The vectors of a support set with its labels, and after them those of the names if `with_names`, each of which counts for
    /// `name_weight` examples; beside them the texts without labels, each of which counts for `unlabelled_weight`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn embedded(
        &self,
        support: &[ExampleId],
        labels: &[u32],
        with_names: bool,
        Recipe { name_weight, unlabelled_weight, .. }: &Recipe,
    ) -> Result<Embedded, TchError> {
        let names = self.names.as_ref().filter(|_| with_names);
        let names = names.map(|names| (names, *name_weight));
        let unlabelled = self.unlabelled.as_ref();
        let unlabelled = unlabelled.map(|texts| (texts.shallow_clone(), *unlabelled_weight));
        Ok(Embedded { unlabelled, ..embedded(self.of(support)?, labels, names)? })
    }
}

/// The vectors of texts with their labels, and after them those of the names of all labels with what each counts for.
fn embedded(
    texts: Tensor,
    labels: &[u32],
    names: Option<(&Tensor, f64)>,
) -> Result<Embedded, TchError> {
    let mut features = texts;
    let mut labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let mut weights = vec![1.0; labels.len()];
    if let Some((names, weight)) = names {
        features = Tensor::f_cat(&[&features, names], 0)?;
        labels.extend(0..names.size()[0]);
        weights.resize(labels.len(), weight);
    }
    let device = features.device();
    let labels = Tensor::f_from_slice(&labels)?.f_to_device(device)?;
    let weights = Tensor::f_from_slice(&weights)?.f_to_kind(features.kind())?;
    Ok(Embedded { features, labels, weights: weights.f_to_device(device)?, unlabelled: None })
}
