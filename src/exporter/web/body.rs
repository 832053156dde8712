//! A body whose parts are known when the answer begins.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

/// Parts that are sent one after the other; they are shared, not copied.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// None of them is empty.
    parts: VecDeque<Bytes>,
    /// Bytes in all.
    length: usize,
}

impl Parts {
    pub(super) fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let parts: VecDeque<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let length = parts.iter().map(Bytes::len).sum();
        Self { parts, length }
    }

    /// Bytes in all.
    pub(super) fn length(&self) -> u64 {
        self.length as u64
    }
}

/// All parts are one frame: they go to the socket as many at a time as it takes in one call, not each in a call of its own.
impl Body for Parts {
    type Data = Parts;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Parts>, Infallible>>> {
        let all = std::mem::take(&mut *self);
        Poll::Ready(all.has_remaining().then(|| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        !self.has_remaining()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

impl Buf for Parts {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.length, "there are {} bytes, not {count}", self.length);
        self.length -= count;
        let mut rest = count;
        while let Some(part) = self.parts.front_mut() {
            if rest < part.len() {
                part.advance(rest);
                return;
            }
            rest -= part.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = ["", "abc", "d", "efghij"];

    fn parts() -> Parts {
        Parts::new(TEXTS.map(|text| Bytes::from_static(text.as_bytes())))
    }

    fn rest(parts: &Parts) -> String {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = parts.chunks_vectored(&mut slices);
        slices[..filled].iter().map(|slice| std::str::from_utf8(slice).unwrap()).collect()
    }

    #[test]
    fn however_much_is_taken_at_once_all_of_it_comes_in_order() {
        let whole = TEXTS.concat();
        for step in 1..=whole.len() {
            let mut parts = parts();
            let mut taken = 0;
            while parts.has_remaining() {
                assert_eq!((rest(&parts), parts.remaining()), (whole[taken..].to_owned(), whole.len() - taken));
                assert!(!parts.chunk().is_empty() && whole.as_bytes()[taken..].starts_with(parts.chunk()));
                let count = step.min(parts.remaining());
                parts.advance(count);
                taken += count;
            }
            assert_eq!((taken, parts.chunk()), (whole.len(), &[][..]));
        }
    }

    #[test]
    fn as_many_parts_are_offered_at_once_as_there_is_room_for() {
        let parts = parts();
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(parts.chunks_vectored(&mut slices), 2);
        assert_eq!([&slices[0][..], &slices[1][..]], [b"abc".as_slice(), b"d"]);
        assert_eq!(parts.chunks_vectored(&mut []), 0);
    }

    #[test]
    fn a_body_is_one_frame_of_known_length() {
        let mut body = parts();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(10), false));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else { panic!("no frame") };
        assert_eq!(rest(frame.data_ref().unwrap()), TEXTS.concat());
        assert!(body.is_end_stream());
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)));
    }
}
