//! Meta-training of BERT on many small text-classification domains.
//!
//! # The map, in the order a text travels
//!
//! ```text
//! data       a labelled file becomes reviews, a split, token ids, episodes, packed batches
//! model      BERT as a function of a ParamSet; Hugging Face directories
//! optim      optimizer steps, schedules and clipping of a ParamSet
//! meta       one inner loop; for each algorithm a way to form the meta-gradient
//! run        run directories, checkpoints, events, progress
//! train      the outer loop, evaluation, fine-tuning, prediction
//! config     the sections above as one layered configuration
//! cli        the command line as types
//! commands   one file a subcommand: the only place that wires the parts together
//! device     picks CPU or CUDA
//! seed       derives every random stream
//! atomic     writes files and directories completely or not at all
//! bounded    reads files that have to be small
//! torch_ext  what tch lacks, and the loops of the CPU path in C++
//! ```
//!
//! # Who may import whom
//!
//! ```text
//! atomic     -
//! bounded    -
//! seed       -
//! torch_ext  -
//! device     torch_ext
//! data       atomic bounded seed
//! model      bounded data seed torch_ext
//! optim      model torch_ext
//! meta       data model optim
//! run        atomic data model optim
//! train      data device meta model optim run seed torch_ext
//! config     bounded data meta train
//! cli        config meta
//! commands   atomic bounded cli config data device meta model optim run torch_ext train
//! ```
//!
//! `data` knows no model, `model` knows no task, `meta` and `optim` know no file, clock or log: so
//! the mathematics is tested on a quadratic of two parameters.
//!
//! # The algorithm
//!
//! ```text
//! repeat                                           train::Trainer::run
//!   for each episode of the meta-batch             data::EpisodeSampler; several at once: train::Workers
//!     phi <- theta, the episode's rows of it       model::CompactTable, ParamSet::to_fast_weights
//!     for each minibatch of the support set        meta::InnerLoop::adapt
//!       phi <- step(phi, gradient of the loss)     optim::Optimizer
//!     fomaml:   g <- gradient of the query loss at phi
//!     reptile:  g <- theta - phi                   meta::MetaAlgorithm
//!   theta <- step(theta, mean of g)                optim::Optimizer
//! ```
//!
//! Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks"
//! (<https://arxiv.org/abs/1703.03400>); Nichol et al. 2018, "On First-Order Meta-Learning
//! Algorithms" (<https://arxiv.org/abs/1803.02999>); Devlin et al. 2019, "BERT"
//! (<https://arxiv.org/abs/1810.04805>).

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod atomic;
pub mod bounded;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data;
pub mod device;
pub mod meta;
pub mod model;
pub mod optim;
pub mod run;
pub mod seed;
#[allow(unsafe_code)]
pub mod torch_ext;
pub mod train;
