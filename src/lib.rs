//! Meta-training of BERT on many small text-classification domains.
//!
//! # The map, in the order a text travels
//!
//! ```text
//! torch_ext  what tch lacks, and the loops of the CPU path in C++
//! files      writes files and directories completely or not at all; reads files up to a size
//! hub        models by their names on the Hugging Face Hub: the shared cache, and downloads into it
//! seed       derives every random stream
//! checks     reports wrong input alike everywhere: where, what was expected, what was found
//! names      the known name that a mistyped one is nearest to
//! table      cells in aligned columns
//! machine    device, memory, threads; where the time goes
//! ranks      several processes as one run: who they are, and what travels between them
//! params     named tensors over a shared layout, views of them, safetensors files
//! data       labelled files become examples, a split, token ids, episodes, packed batches
//! model      BERT as a function of a ParamSet; Hugging Face directories
//! optim      optimizer steps, schedules and clipping of a ParamSet
//! meta       the table of algorithms: how weights adapt, and the meta-gradient that follows
//! tasks      an episode's examples become the batches and weights that are computed on
//! eval       adapts to seeded draws and folds, scores, predicts, reports
//! run        run directories, checkpoints, events, progress
//! report     runs and evaluations as a page of charts and tables
//! train      the outer loop; the alignment of a model's first tokens
//! config     the sections above as one layered configuration
//! cli        the command line as types
//! commands   one file or folder per subcommand: the only place that wires the parts together
//! ```
//!
//! # Who may import whom
//!
//! ```text
//! torch_ext  -
//! files      -
//! seed       -
//! checks     -
//! names      -
//! hub        checks files
//! table      -
//! machine    torch_ext
//! ranks      checks machine torch_ext
//! params     seed torch_ext
//! data       checks files names seed table
//! model      data files params seed torch_ext
//! optim      params torch_ext
//! meta       checks data model optim params seed torch_ext
//! tasks      data machine meta model params seed
//! eval       checks data machine meta model params ranks seed table tasks
//! run        data files model optim params
//! report     checks eval run
//! train      checks data eval machine meta model optim params ranks run tasks
//! config     checks data eval files meta names train
//! cli        config hub meta
//! commands   checks cli config data eval files hub machine meta model optim params ranks report run seed table tasks
//!            torch_ext train
//! ```
//!
//! `data` knows no model, `model` knows no task, `meta` and `optim` know no file, clock or log: so
//! the mathematics is tested on a quadratic of two parameters.
//!
//! # The algorithm
//!
//! ```text
//! repeat                                           train::Training::run
//!   for each task of the meta-batch                train::OuterLoop; several at once: machine::Workers
//!     S <- the rows that the task touches          tasks::TextTasks, params::TaskView
//!     phi <- S theta, with the head to start from  meta::HeadStart
//!     for each minibatch of the support set        meta::Recipe::adapt
//!       phi <- step(phi, gradient of the loss)     meta::step_rule, of what meta::Scope moves
//!     fomaml:   g <- gradient of the query loss at phi
//!     maml:     g <- the same, through the steps   meta::Recipe::meta_gradient
//!     reptile:  g <- S theta - phi
//!   G <- mean of S'g, clipped                      train::MetaBatch
//!   theta <- step(theta, G)                        optim::Optimizer
//! ```
//!
//! Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks"
//! (<https://arxiv.org/abs/1703.03400>); Nichol et al. 2018, "On First-Order Meta-Learning
//! Algorithms" (<https://arxiv.org/abs/1803.02999>); Devlin et al. 2019, "BERT"
//! (<https://arxiv.org/abs/1810.04805>).
//!
//! The library serves the program, its tests and its benchmarks, and promises nothing to other crates: what these do not
//! need is `pub(crate)`.

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub(crate) mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data;
pub mod eval;
pub(crate) mod files;
pub mod hub;
pub mod machine;
pub mod meta;
pub mod model;
pub(crate) mod names;
pub mod optim;
pub mod params;
pub mod ranks;
pub(crate) mod report;
pub mod run;
pub mod seed;
pub(crate) mod table;
pub mod tasks;
#[allow(unsafe_code)]
pub(crate) mod torch_ext;
pub(crate) mod train;
