//! A CA made on the spot, and certificates of a server and a client signed by it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{self, Place};
use super::table::STORE_PASSWORD;
use crate::report::{Doing, Outcome, Problem};

/// The files that TLS brings.
pub(super) const FILES: &[&str] = &["ca.pem", "server.pem", "server.key", "client.pem", "client.key", "server.p12"];

const EXTENSIONS: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1\n\
    basicConstraints=CA:FALSE\n\
    keyUsage=digitalSignature,keyEncipherment\n\
    extendedKeyUsage=serverAuth,clientAuth\n";

/// Where the files are.
#[must_use]
pub(super) fn folder(place: &Place) -> PathBuf {
    place.state.join("tls")
}

/// Makes the files unless they are there.
///
/// # Errors
/// When `openssl` fails.
pub(super) fn make(place: &Place) -> Outcome<()> {
    let folder = folder(place);
    if FILES.iter().all(|file| folder.join(file).exists()) {
        return Ok(());
    }
    println!("tls: making a CA in {}", folder.display());
    let partial = place.state.join("tls.partial");
    place::remove(&partial)?;
    place::make(&partial)?;
    place::write(&partial.join("extensions"), EXTENSIONS)?;
    let ca = "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=pontoon-test-ca \
              -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
              -keyout ca.key -out ca.pem";
    openssl(&partial, ca)?;
    for name in ["server", "client"] {
        openssl(&partial, &format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"))?;
        openssl(
            &partial,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
                 -extfile extensions -out {name}.pem"
            ),
        )?;
    }
    openssl(
        &partial,
        &format!(
            "pkcs12 -export -in server.pem -inkey server.key -certfile ca.pem -name server \
             -passout pass:{STORE_PASSWORD} -out server.p12"
        ),
    )?;
    // Servers in containers run as users of their own, and the keys protect nothing.
    for file in FILES {
        fs::set_permissions(partial.join(file), fs::Permissions::from_mode(0o644))
            .doing(|| format!("opening {file} to readers"))?;
    }
    place::remove(&folder)?;
    fs::rename(&partial, &folder).doing(|| format!("making {}", folder.display()))
}

fn openssl(folder: &Path, words: &str) -> Outcome<()> {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(folder)
        .output()
        .doing(|| "running openssl (is it installed?)".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(Problem::new(format!(
        "openssl {} failed: {}",
        words.split_whitespace().next().unwrap_or_default(),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
