//! The vectors of texts under weights that do not move: embedded once, read by every adaptation.

use std::collections::HashMap;

use tch::{TchError, Tensor};

use crate::data::ExampleId;
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

    /// The vectors of a support set with its labels, and after them those of the names, each of which counts for `name_weight`
    /// examples; beside them the texts without labels, each of which counts for `unlabelled_weight`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn embedded(
        &self,
        support: &[ExampleId],
        labels: &[u32],
        Recipe { name_weight, unlabelled_weight, .. }: &Recipe,
    ) -> Result<Embedded, TchError> {
        let mut features = self.of(support)?;
        let mut labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let mut weights = vec![1.0; support.len()];
        if let Some(names) = &self.names {
            let num_labels = names.size()[0];
            features = Tensor::f_cat(&[&features, names], 0)?;
            labels.extend(0..num_labels);
            weights.resize(labels.len(), *name_weight);
        }
        let device = features.device();
        let labels = Tensor::f_from_slice(&labels)?.f_to_device(device)?;
        let weights = Tensor::f_from_slice(&weights)?.f_to_kind(features.kind())?;
        let unlabelled = self.unlabelled.as_ref();
        let unlabelled = unlabelled.map(|texts| (texts.shallow_clone(), *unlabelled_weight));
        Ok(Embedded { features, labels, weights: weights.f_to_device(device)?, unlabelled })
    }
}
