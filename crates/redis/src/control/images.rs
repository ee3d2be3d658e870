//! Images, by their hash. They go and come in chunks, so that a large one does not hold the backend up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::from_redis_value;

use super::audit::done;
use super::scripts::{FORGET_IMAGES, PUT_CHUNK, PUT_IMAGE};
use super::{Control, Fence, ImageHash, MOST_IMAGE, Part, Refused, number, unexpected};
use crate::Failure;
use crate::script::Call;

const CHUNK: usize = 256 << 10;

/// How long the chunks of an image are kept that has not become whole, in milliseconds: its writer may have died.
const KEPT: u64 = 600_000;

impl Control {
    /// Keeps an image, or mends the one that is there. Who is going to name it in the record holds the lock from before this until
    /// after that, so that nobody forgets it between.
    ///
    /// # Errors
    /// When it has more than [`MOST_IMAGE`] bytes, or the backend does not keep all of it.
    pub async fn put_image(&self, hash: &ImageHash, bytes: &[u8]) -> Result<(), Refused> {
        if bytes.len() > MOST_IMAGE {
            return Err(Refused::TooLarge { bytes: bytes.len(), most: MOST_IMAGE });
        }
        let name = name(hash);
        let keys = vec![self.connection.namespace().image(&name), self.key(Part::Images)];
        for (index, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
            let arguments = vec![name.clone().into_bytes(), number(index), chunk.to_vec(), number(KEPT)];
            self.connection.run(&PUT_CHUNK, Call { keys: keys.clone(), arguments }).await?;
        }
        let arguments = vec![name.into_bytes(), number(bytes.len() as u64), number(CHUNK as u64)];
        let reply = self.connection.run(&PUT_IMAGE, Call { keys, arguments }).await?;
        if from_redis_value(reply).map_err(unexpected)? {
            return Ok(());
        }
        Err(Failure::Protocol("it has not kept all chunks of an image".to_owned()).into())
    }

    /// An image, if the whole of it is there. Whether it is what its hash says is for the reader to find out.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn image(&self, hash: &ImageHash) -> Result<Option<Vec<u8>>, Failure> {
        let name = name(hash);
        let (images, key) = (self.key(Part::Images), self.connection.namespace().image(&name));
        let Some(size) = self.field(&images, &name).await? else { return Ok(None) };
        let Ok(size) = String::from_utf8_lossy(&size).parse::<usize>() else { return Ok(None) };
        if size > MOST_IMAGE {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(size);
        for index in 0..size.div_ceil(CHUNK) {
            match self.field(&key, &index.to_string()).await? {
                Some(chunk) if chunk.len() == CHUNK.min(size - index * CHUNK) => bytes.extend(chunk),
                _ => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }

    async fn field(&self, key: &str, field: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut command = redis::cmd("HGET");
        command.arg(key).arg(field);
        from_redis_value(self.connection.send(&command, key).await?).map_err(unexpected)
    }

    /// Forgets all images but these, and tells how many they were.
    ///
    /// # Errors
    /// Unless the lock is held under this token.
    pub async fn forget_images(&self, fence: Fence, keep: &[ImageHash]) -> Result<u64, Refused> {
        let images = self.key(Part::Images);
        let mut command = redis::cmd("HKEYS");
        command.arg(&images);
        let reply = self.connection.send(&command, &images).await?;
        let mut names: Vec<String> = from_redis_value(reply).map_err(unexpected)?;
        let keep: Vec<String> = keep.iter().map(name).collect();
        names.retain(|name| !keep.contains(name));
        let mut keys = self.keys([Part::Lock, Part::Images]);
        keys.extend(names.iter().map(|name| self.connection.namespace().image(name)));
        let mut arguments = vec![number(fence.0)];
        arguments.extend(names.into_iter().map(String::into_bytes));
        done(self.connection.run(&FORGET_IMAGES, Call { keys, arguments }).await?)
    }
}

fn name(hash: &ImageHash) -> String {
    URL_SAFE_NO_PAD.encode(hash)
}
