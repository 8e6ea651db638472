//! Work on many things at a time, on as many threads as the process may use; no I/O.

use super::STACK;
use std::{num::NonZero, panic::resume_unwind, thread};

/// A thread costs more than the work on fewer things than these.
const FEW: usize = 1_000;
/// The operator lints for several objects at a time.
const MOST_THREADS: usize = 4;

/// What `work` makes of each, in their order.
pub(super) fn side_by_side<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    in_chunks(things, things.len().div_ceil(threads).max(FEW), work)
}

fn in_chunks<T: Sync, R: Send>(things: &[T], size: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let all = |chunk: &[T]| chunk.iter().map(&work).collect::<Vec<R>>();
    let (first, rest) = things.split_at(size.min(things.len()));
    thread::scope(|scope| {
        // Where there is no thread for a chunk, it is done here.
        let begun: Vec<_> = rest
            .chunks(size)
            .map(|chunk| {
                let worker = thread::Builder::new().name("lint".to_owned()).stack_size(STACK);
                (chunk, worker.spawn_scoped(scope, || all(chunk)))
            })
            .collect();
        let mut out = all(first);
        for (chunk, worker) in begun {
            out.extend(match worker {
                Ok(worker) => worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => all(chunk),
            });
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_its_order() {
        for (things, size) in [(0, 10), (9, 10), (10, 10), (11, 10), (95, 10)] {
            let things: Vec<usize> = (0..things).collect();
            assert_eq!(in_chunks(&things, size, |thing| thing * 2), things.iter().map(|t| t * 2).collect::<Vec<_>>());
        }
    }
}
