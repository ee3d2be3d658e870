//! Large zeroed slices in pages of their own, given back to the system when dropped.
//!
//! An allocator keeps what it is given back: tables that grow by doubling would leave as much again resident. And it zeroes
//! by writing what it has used before, which for a large table takes milliseconds. Pages from the system are zero until
//! they are touched, and gone when they are dropped.

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;

use bytemuck::Zeroable;
use memmap2::{MmapOptions, MmapRaw};

/// A slice of `T` that began as zeroes. It is not dropped element by element.
#[derive(Debug)]
pub struct Zeroed<T> {
    map: MmapRaw,
    length: usize,
    elements: PhantomData<[T]>,
}

/// The smallest page of any system that this runs on: what every mapping is aligned to.
const PAGE: usize = 4096;

impl<T: Zeroable> Zeroed<T> {
    /// `length` zeroes.
    ///
    /// # Errors
    /// The system has no room for them, or they are more than an address can count.
    pub fn new(length: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= PAGE && size_of::<T>() > 0 && !std::mem::needs_drop::<T>()) };
        let bytes = length
            .checked_mul(size_of::<T>())
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // A mapping of nothing is not allowed.
        let map = MmapOptions::new().len(bytes.max(1)).map_anon()?;
        Ok(Self { map: map.into(), length, elements: PhantomData })
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping is at least `length * size_of::<T>()` bytes long, which fits in an isize, and begins at a
        // page, which is at least as aligned as a `T`, by the checks in `new`. It was zero, which `Zeroable` says is a
        // valid `T`, and has since been reached only through slices that came from here, so that it holds valid `T`s
        // still. It is private to this value, nobody is given a `&mut`, and it lives as long as this value does. The
        // pointer is the mapping's own, not derived from a reference, so what is inside an atomic may be changed.
        #[expect(unsafe_code, reason = "bytes from the system are given a type")]
        unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().cast::<T>(), self.length)
        }
    }
}

// SAFETY: it owns its mapping, and hands out what a `Box<[T]>` behind a shared reference would.
#[expect(unsafe_code, reason = "as Box<[T]>")]
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "as Box<[T]>")]
unsafe impl<T: Sync> Sync for Zeroed<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::Zeroed;

    #[test]
    fn all_of_it_is_zero_and_can_be_written_by_many_threads() {
        #[derive(bytemuck::Zeroable)]
        #[repr(C, align(32))]
        struct Four([AtomicU64; 4]);

        let slice = Zeroed::<Four>::new(100_003).unwrap();
        assert_eq!(slice.len(), 100_003);
        assert!(slice.iter().all(|four| four.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for word in slice.iter().flat_map(|four| &four.0) {
                        word.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(slice.iter().all(|four| four.0.iter().all(|word| word.load(Ordering::Relaxed) == 4)));
    }

    #[test]
    fn nothing_is_a_slice_too() {
        assert!(Zeroed::<u64>::new(0).unwrap().is_empty());
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(Zeroed::<u64>::new(usize::MAX).is_err());
        assert!(Zeroed::<u64>::new(1 << 58).is_err());
    }
}
