//! What became of a wish for the end of something.

/// A job may give up on such a wish, so it can be asked for again: the caller sees to it that a job works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is recorded now.
    First,
    /// It was recorded before and has not come true yet.
    Again,
    /// There is nothing to do: it has come true, or cannot be asked for.
    Idle,
}
