//! The BERT encoder (Devlin et al. 2019) as a function of a [`ParamSet`].
//!
//! [`Bert`] holds no tensors: declaring it registers slots in a layout, under Hugging Face's
//! names, and `forward` reads those slots of whatever weights it is given.

use tch::{TchError, Tensor};

use super::attention::{Attention, Projected, Rows};
use super::config::{Activation, BertConfig};
use super::pass::{Order, Pass};
use super::precision::Precision;
use crate::data::batch::Batch;
use crate::params::{Init, Layout, ParamSet, Region, SlotId};
use crate::torch_ext::{self, DropoutMask, NormWeights, composed};

/// Weight and bias of an affine map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    pub(super) weight: SlotId,
    pub(super) bias: SlotId,
}

impl Linear {
    pub(super) fn register(
        layout: &mut Layout,
        (region, name): (Region, &str),
        (inputs, outputs): (i64, i64),
        std: f64,
    ) -> Self {
        let mut slot = |part: &str, shape: &[i64], init| {
            layout.register(format!("{name}.{part}"), region, shape, init)
        };
        Self {
            weight: slot("weight", &[outputs, inputs], Init::Normal(std)),
            bias: slot("bias", &[outputs], Init::Zeros),
        }
    }

    pub(super) fn forward(
        &self,
        params: &ParamSet,
        input: &Tensor,
        precision: Precision,
    ) -> Result<Tensor, TchError> {
        precision.linear(input, params.get(self.weight), params.get(self.bias))
    }

    /// The outputs of several maps of one input side by side, `[rows, sum of out]`: one product reads the input once.
    fn forward_together(
        maps: &[Self],
        params: &ParamSet,
        input: &Tensor,
        precision: Precision,
    ) -> Result<Tensor, TchError> {
        let stacked = |slot: fn(&Self) -> SlotId| {
            let parts: Vec<&Tensor> = maps.iter().map(|map| params.get(slot(map))).collect();
            Tensor::f_cat(&parts, 0)
        };
        precision.linear(input, &stacked(|map| map.weight)?, &stacked(|map| map.bias)?)
    }
}

/// Weight and bias of a layer norm.
#[derive(Clone, Copy, Debug)]
struct LayerNorm {
    weight: SlotId,
    bias: SlotId,
    eps: f64,
}

impl LayerNorm {
    fn register(layout: &mut Layout, (region, name): (Region, &str), config: &BertConfig) -> Self {
        let shape = [config.hidden_size];
        let mut slot =
            |part: &str, init| layout.register(format!("{name}.{part}"), region, &shape, init);
        Self {
            weight: slot("weight", Init::Ones),
            bias: slot("bias", Init::Zeros),
            eps: config.layer_norm_eps,
        }
    }

    /// The norm of `dropout(input) + residual`.
    fn forward(
        &self,
        params: &ParamSet,
        input: &Tensor,
        residual: Option<&Tensor>,
        (mask, order): (Option<DropoutMask>, Order),
    ) -> Result<Tensor, TchError> {
        let (gain, bias) = (params.get(self.weight), params.get(self.bias));
        let norm = NormWeights { gain, bias, eps: self.eps };
        let normalise = match order {
            Order::First => torch_ext::dropout_add_layer_norm,
            Order::Second => composed::dropout_add_layer_norm,
        };
        normalise(input, residual, norm, mask)
    }
}

/// One encoder layer: self-attention and a feed-forward block, each with residual and norm.
#[derive(Clone, Copy, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

/// Each layer has three dropout sites: attention weights, attention output, block output.
const SITES_PER_LAYER: u64 = 3;
/// The dropout site after the embeddings comes before those of the layers.
const EMBEDDING_SITE: u64 = 0;

/// A BERT encoder.
#[derive(Clone, Debug)]
pub struct Bert {
    config: BertConfig,
    precision: Precision,
    word_embeddings: SlotId,
    position_embeddings: SlotId,
    token_type_embeddings: SlotId,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// Registers the encoder's slots in `layout`, every name starting with `bert.`.
    pub fn register(layout: &mut Layout, config: &BertConfig, precision: Precision) -> Self {
        let hidden = config.hidden_size;
        let std = config.initializer_range;
        let mut table = |name: &str, rows: i64| {
            layout.register(
                format!("bert.embeddings.{name}.weight"),
                Region::Embeddings,
                &[rows, hidden],
                Init::Normal(std),
            )
        };
        let word_embeddings = table("word_embeddings", config.vocab_size);
        let position_embeddings = table("position_embeddings", config.max_position_embeddings);
        let token_type_embeddings = table("token_type_embeddings", config.type_vocab_size);
        let norm_name = (Region::Embeddings, "bert.embeddings.LayerNorm");
        let embedding_norm = LayerNorm::register(layout, norm_name, config);
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::register(layout, index as u16, config))
            .collect();
        Self {
            config: config.clone(),
            precision,
            word_embeddings,
            position_embeddings,
            token_type_embeddings,
            embedding_norm,
            layers,
        }
    }

    /// The architecture.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The dtype of the matrix products.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The slot of the table that token ids look up.
    pub fn word_embeddings(&self) -> SlotId {
        self.word_embeddings
    }

    /// The hidden states after the last layer: `[tokens, hidden]` for [`Rows::All`], `[batch,
    /// hidden]` for [`Rows::First`], whose last layer computes only the rows asked for.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn hidden_states(
        &self,
        params: &ParamSet,
        batch: &Batch,
        rows: Rows,
        pass: Pass,
    ) -> Result<Tensor, TchError> {
        let mut hidden = self.embed(params, batch, pass)?;
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let rows = if index == last { rows } else { Rows::All };
            let first_site = EMBEDDING_SITE + 1 + index as u64 * SITES_PER_LAYER;
            hidden = layer.forward(self, params, &hidden, batch, (rows, pass, first_site))?;
        }
        Ok(hidden)
    }

    /// Number of dropout sites: the first free number for a head on top.
    pub(super) fn num_sites(&self) -> u64 {
        EMBEDDING_SITE + 1 + self.layers.len() as u64 * SITES_PER_LAYER
    }

    fn embed(&self, params: &ParamSet, batch: &Batch, pass: Pass) -> Result<Tensor, TchError> {
        let look_up = |table: SlotId, ids: &Tensor| {
            Tensor::f_embedding(params.get(table), ids, -1, false, false)
        };
        let words = look_up(self.word_embeddings, &batch.token_ids)?;
        let positions = look_up(self.position_embeddings, &batch.position_ids)?;
        // Every text is a single segment, so that each token has type 0.
        let token_type = params.get(self.token_type_embeddings).f_narrow(0, 0, 1)?;
        let sum = words.f_add(&token_type)?.f_add(&positions)?;
        let normed = self.embedding_norm.forward(params, &sum, None, (None, pass.order))?;
        drop_out(&normed, self.config.hidden_dropout_prob, pass, EMBEDDING_SITE)
    }

    fn activate(&self, input: &Tensor) -> Result<Tensor, TchError> {
        match self.config.hidden_act {
            Activation::Gelu => input.f_gelu("none"),
            Activation::GeluNew => input.f_gelu("tanh"),
            Activation::Relu => input.f_relu(),
        }
    }
}

impl Layer {
    fn register(layout: &mut Layout, index: u16, config: &BertConfig) -> Self {
        let (region, name) = (Region::Layer(index), format!("bert.encoder.layer.{index}"));
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let std = config.initializer_range;
        let mut linear = |part: &str, shape: (i64, i64)| {
            Linear::register(layout, (region, &format!("{name}.{part}")), shape, std)
        };
        let query = linear("attention.self.query", (hidden, hidden));
        let key = linear("attention.self.key", (hidden, hidden));
        let value = linear("attention.self.value", (hidden, hidden));
        let attention_output = linear("attention.output.dense", (hidden, hidden));
        let norm_name = format!("{name}.attention.output.LayerNorm");
        let attention_norm = LayerNorm::register(layout, (region, &norm_name), config);
        let mut linear = |part: &str, shape: (i64, i64)| {
            Linear::register(layout, (region, &format!("{name}.{part}")), shape, std)
        };
        let intermediate = linear("intermediate.dense", (hidden, wide));
        let output = linear("output.dense", (wide, hidden));
        let norm_name = format!("{name}.output.LayerNorm");
        let output_norm = LayerNorm::register(layout, (region, &norm_name), config);
        Self {
            query,
            key,
            value,
            attention_output,
            attention_norm,
            intermediate,
            output,
            output_norm,
        }
    }

    fn forward(
        &self,
        bert: &Bert,
        params: &ParamSet,
        hidden: &Tensor,
        batch: &Batch,
        (rows, pass, first_site): (Rows, Pass, u64),
    ) -> Result<Tensor, TchError> {
        let linear = |map: &Linear, input: &Tensor| map.forward(params, input, bert.precision);
        let together =
            |maps: &[Linear]| Linear::forward_together(maps, params, hidden, bert.precision);
        let (residual, projected) = match rows {
            Rows::All => {
                let fused = together(&[self.query, self.key, self.value])?;
                (hidden.shallow_clone(), Projected::All(fused))
            }
            Rows::First => {
                let first = hidden.f_index_select(0, &batch.first_rows)?;
                let queries = linear(&self.query, &first)?;
                let keys_values = together(&[self.key, self.value])?;
                (first, Projected::First { queries, keys_values })
            }
        };
        let attention = Attention {
            num_heads: bert.config.num_attention_heads,
            hidden: bert.config.hidden_size,
            dropout: bert.config.attention_probs_dropout_prob,
            precision: bert.precision,
        };
        let context = attention.forward(&projected, batch, pass, first_site)?;
        let dropout = |site: u64| (pass.mask(bert.config.hidden_dropout_prob, site), pass.order);
        let attended = linear(&self.attention_output, &context)?;
        let attended = self.attention_norm.forward(
            params,
            &attended,
            Some(&residual),
            dropout(first_site + 1),
        )?;
        let wide = bert.activate(&linear(&self.intermediate, &attended)?)?;
        let narrow = linear(&self.output, &wide)?;
        self.output_norm.forward(params, &narrow, Some(&attended), dropout(first_site + 2))
    }
}

/// Dropout at site number `site`, where `pass` drops at all.
pub(super) fn drop_out(input: &Tensor, p: f64, pass: Pass, site: u64) -> Result<Tensor, TchError> {
    match pass.mask(p, site) {
        Some(mask) => torch_ext::dropout(input, mask.p, mask.seed),
        None => Ok(input.shallow_clone()),
    }
}
