//! The verbs' end of the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::place;
use super::wire::{self, MAX_LINE, Reply, Request};

/// How long a Drover that has taken a request may take to answer it: its disk may be slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// So often it is looked meanwhile whether it can answer at all.
const LOOK: Duration = Duration::from_secs(1);

/// Asks the Drover that is at work. `None`: none listens, or it ended without an answer. Whether
/// it had carried the request out then is not known; asking again tells, because what is so
/// already is left as it is.
///
/// `is_stopped` is asked again and again while it is waited for: one that was stopped is waited for no longer.
pub fn ask(state_dir: &Path, request: &Request, is_stopped: &dyn Fn() -> bool) -> io::Result<Option<Reply>> {
    let Some(socket) = place::find(state_dir) else { return Ok(None) };
    let Ok(mut stream) = UnixStream::connect(&socket) else { return Ok(None) };
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = wire::line(request);
    if line.len() > MAX_LINE {
        return Err(io::Error::other("the request is too long"));
    }
    if stream.write_all(&line).is_err() {
        return Ok(None);
    }
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_ANSWER));
    let (mut left, mut stopped) = (PATIENCE, false);
    loop {
        match reader.read_until(b'\n', &mut answer) {
            Ok(_) if answer.ends_with(b"\n") => return Ok(Some(serde_json::from_slice(&answer).map_err(io::Error::other)?)),
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                left = left.saturating_sub(LOOK);
                let before = std::mem::replace(&mut stopped, is_stopped());
                if left.is_zero() || (before && stopped) {
                    return Err(io::Error::other("the Drover at work has taken the request and does not answer"));
                }
            }
            Err(_) => return Ok(None),
        }
    }
}

/// An answer names each task, and there may be many.
const MAX_ANSWER: u64 = 64 << 20;
