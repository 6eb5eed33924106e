//! Numbers: against transformers and torch.optim, against closed forms, and against themselves under
//! other numbers of workers and threads.

mod bert_parity;
mod cuda;
mod dropout_in_bert;
mod family;
mod golden_curves;
mod learning;
mod optimizers;
mod random_streams;
mod ranks;
mod reference_trace;
mod task_view;
mod tokenizer_parity;
mod workers;
