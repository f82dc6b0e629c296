//! `healthcheck`: whether the server on this machine is alive, for Docker's HEALTHCHECK and for scripts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};

use super::{Error, say};
use crate::{config, root::read_own};

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/healthz` at `address`, in TLS if there is a certificate.
pub(super) async fn run(address: SocketAddr, tls: Option<&config::Tls>) -> Result<(), Error> {
    match tokio::time::timeout(PATIENCE, ask(address, tls)).await {
        Ok(result) => result.map_err(|error| Error::Other(format!("not healthy: {address}: {error}"))),
        Err(_) => Err(Error::Other(format!("not healthy: {address}: no answer within {} s", PATIENCE.as_secs()))),
    }?;
    say("healthy")
}

async fn ask(address: SocketAddr, tls: Option<&config::Tls>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // a listener on every address is also on loopback
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    };
    let stream = TcpStream::connect(host).await?;
    let Some(tls) = tls else { return healthz(stream, host).await };
    let pem = read_own(&tls.certificate, 1 << 20)?;
    let own = CertificateDer::from_pem_slice(&pem)?.into_owned();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Own { certificate: own, provider }))
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::from(host.ip()), stream).await?;
    healthz(stream, host).await
}

async fn healthz(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: SocketAddr,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    if &head == b"HTTP/1.1 200" { Ok(()) } else { Err("it answers, and does not say 200".into()) }
}

/// Trusts the one certificate the config names: it may be self-signed, and is the server's own.
#[derive(Debug)]
struct Own {
    certificate: CertificateDer<'static>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("it shows another certificate than the config names".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
