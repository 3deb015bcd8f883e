//! The services around an instance, started together: its metadata service and the EC2 API of its account.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ec2::Ec2;
use crate::imds::Imds;
use crate::instance::{Instance, SharedInstance};

/// The metadata service and the EC2 API of one instance, on loopback. Both end with this value.
#[derive(Debug)]
pub struct World {
    /// The metadata service.
    pub imds: Imds,
    /// The EC2 API.
    pub ec2: Ec2,
    /// The instance that both tell of.
    pub instance: SharedInstance,
}

impl World {
    /// Starts both on free ports of 127.0.0.1.
    pub fn start(instance: Instance) -> io::Result<Self> {
        let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self::at(free, free, None, instance)
    }

    /// Starts both at these addresses; with `upstream` the EC2 API stands in front of that server.
    pub fn at(
        imds: SocketAddr,
        ec2: SocketAddr,
        upstream: Option<SocketAddr>,
        instance: Instance,
    ) -> io::Result<Self> {
        let instance = SharedInstance::new(instance);
        let imds = Imds::of_shared(imds, instance.clone())?;
        let ec2 = match upstream {
            None => Ec2::of_shared(ec2, instance.clone())?,
            Some(upstream) => Ec2::in_front_of(upstream, ec2, instance.clone())?,
        };
        Ok(Self { imds, ec2, instance })
    }

    /// The environment variables that lead a program into this world. They are those of the AWS SDKs.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), self.imds.endpoint()),
            ("AWS_ENDPOINT_URL".into(), self.ec2.endpoint()),
            ("AWS_ENDPOINT_URL_EC2".into(), self.ec2.endpoint()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::{Request, call};

    #[test]
    fn a_tag_that_ec2_stores_is_told_by_the_metadata_service() {
        let world = World::start(Instance::default()).unwrap();
        let form =
            "Action=CreateTags&ResourceId.1=i-0a1b2c3d4e5f60718&Tag.1.Key=colour&Tag.1.Value=blue";
        let tag = Request::new("POST", "/")
            .with_header(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=A, SignedHeaders=b, Signature=c",
            )
            .with_header("X-Amz-Date", "20260101T000000Z")
            .with_body(form);
        let limit = Duration::from_secs(5);
        assert_eq!(call(world.ec2.addr(), &tag, limit).unwrap().status, 200);
        let put = Request::new("PUT", "/latest/api/token")
            .with_header("X-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = call(world.imds.addr(), &put, limit).unwrap().body_text();
        let get = Request::new("GET", "/latest/meta-data/tags/instance/colour")
            .with_header("X-aws-ec2-metadata-token", &token);
        assert_eq!(call(world.imds.addr(), &get, limit).unwrap().body_text(), "blue");
    }

    #[test]
    fn the_environment_names_every_endpoint() {
        let world = World::start(Instance::default()).unwrap();
        let environment = world.environment();
        assert_eq!(environment.len(), 3);
        assert!(environment.iter().all(|(_, value)| value.starts_with("http://127.0.0.1:")));
    }
}
