//! What waits to be sent: bounded, the oldest goes first. Pure.

use std::collections::VecDeque;

/// What is sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub body: String,
    /// Data in it.
    pub data: usize,
}

/// At most this much waits: a day of one target, an hour of 50.
const MAX_BYTES: usize = 16 << 20;

/// Parcels that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    waiting: VecDeque<Parcel>,
    bytes: usize,
}

impl Buffer {
    /// Adds a parcel at the end. Says how many data of the oldest ones had to go for it.
    pub fn push(&mut self, parcel: Parcel) -> usize {
        self.bytes += parcel.body.len();
        self.waiting.push_back(parcel);
        self.shrink()
    }

    /// The oldest parcel.
    pub fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.waiting.pop_front()?;
        self.bytes -= parcel.body.len();
        Some(parcel)
    }

    /// A parcel that could not be sent is the oldest again. Says how many data had to go for it.
    pub fn give_back(&mut self, parcel: Parcel) -> usize {
        self.bytes += parcel.body.len();
        self.waiting.push_front(parcel);
        self.shrink()
    }

    /// Data that wait.
    pub fn len(&self) -> usize {
        self.waiting.iter().map(|parcel| parcel.data).sum()
    }

    fn shrink(&mut self) -> usize {
        let mut dropped = 0;
        while self.bytes > MAX_BYTES {
            dropped += self.pop().map_or(0, |parcel| parcel.data);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_so_much_and_then_the_oldest_goes_and_is_counted() {
        let parcel = |data| Parcel { body: "x".repeat(1 << 20), data };
        let mut buffer = Buffer::default();
        assert_eq!((1..=16).map(|n| buffer.push(parcel(n))).sum::<usize>(), 0);
        assert_eq!(buffer.push(parcel(17)), 1, "the first");
        let oldest = buffer.pop().unwrap();
        assert_eq!(oldest.data, 2);
        assert_eq!(buffer.push(parcel(18)), 0, "there was room");
        assert_eq!(buffer.give_back(oldest), 2, "while it was on its way others took its place");
        assert_eq!(buffer.pop().unwrap().data, 3);
        assert_eq!(buffer.len(), (4..=18).sum::<usize>());
    }
}
