//! NCCL, which sums tensors of several GPUs without their hosts.

mod communicator;
mod library;

pub use communicator::Communicator;
pub use library::Nccl;
