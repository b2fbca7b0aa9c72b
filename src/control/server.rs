//! The running Drover's end of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::place;
use super::wire::{self, MAX_LINE, Reply, Request};

/// So many at a time are listened to; others wait in line.
const MAX_CLIENTS: usize = 32;
/// A client that says nothing for this long is hung up on.
const SILENCE: Duration = Duration::from_secs(10);

/// A request on its way to whoever decides. Dropping it unanswered hangs up.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    pub reply: oneshot::Sender<Reply>,
}

impl Asked {
    /// Whoever hung up has nobody to tell, and asks again.
    pub fn answer(self, reply: Reply) {
        drop(self.reply.send(reply));
    }
}

/// Listens until it is dropped; then the socket is gone.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    state_dir: PathBuf,
    /// Device and inode: another Drover may have put its own in the place.
    file: (u64, u64),
}

/// Starts to listen. The caller holds the project's lock, so that a socket which is there already
/// is that of a dead Drover. `take` hands a request over; it must not block.
pub fn serve(
    runtime: &Handle,
    (runtime_dir, temporary): (Option<&Path>, &Path),
    state_dir: &Path,
    take: impl Fn(Asked) + Send + Sync + 'static,
) -> io::Result<Server> {
    let socket = place::choose(runtime_dir, temporary, state_dir)?;
    match fs::remove_file(&socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(&socket)?
    };
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
    let meta = fs::symlink_metadata(&socket)?;
    place::note(state_dir, &socket)?;
    runtime.spawn(accept(listener, Arc::new(take)));
    Ok(Server { socket, state_dir: state_dir.to_owned(), file: (meta.dev(), meta.ino()) })
}

impl Drop for Server {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.socket).is_ok_and(|m| (m.dev(), m.ino()) == self.file) {
            let _ = fs::remove_file(&self.socket);
            place::forget(&self.state_dir, &self.socket);
        }
    }
}

async fn accept(listener: UnixListener, take: Arc<dyn Fn(Asked) + Send + Sync>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let take = take.clone();
                tokio::spawn(async move {
                    // Whoever hangs up has nobody to tell.
                    let _ = attend(stream, &*take).await;
                    drop(place);
                });
            }
            // Out of descriptors: they come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One client: a line, an answer, until it hangs up.
async fn attend(stream: UnixStream, take: &(dyn Fn(Asked) + Send + Sync)) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != place::own_uid() && peer != 0 {
        return Ok(());
    }
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        let mut bounded = (&mut stream).take(limit);
        let read = bounded.read_until(b'\n', &mut line);
        let Ok(read) = tokio::time::timeout(SILENCE, read).await else { return Ok(()) };
        if read? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let reply = match wire::request(&line) {
            _ if !whole => Reply::Misread { why: format!("a request is one line of at most {MAX_LINE} bytes") },
            Err(why) => Reply::Misread { why },
            Ok(request) => {
                let (reply, answer) = oneshot::channel();
                take(Asked { request, reply });
                // Unanswered: the run is over, and the record is soon free.
                let Ok(answer) = answer.await else { return Ok(()) };
                answer
            }
        };
        stream.get_mut().write_all(&wire::line(&reply)).await?;
        if !whole {
            return Ok(());
        }
    }
}
