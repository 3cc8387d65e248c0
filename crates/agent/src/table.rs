//! Whether a table of ours is in the kernel.

use tortie_dataplane_nft::Options;
use tortie_nft::{Socket, TableId, dump};

use crate::GroundError;

/// Whether the kernel has the table of an agent, of one that runs or of one that ended. Nothing in it is looked at.
pub fn table_exists() -> Result<bool, GroundError> {
    let own = TableId::inet(Options::default().table);
    Ok(dump::table_ids(&mut Socket::open()?).map_err(GroundError::Read)?.contains(&own))
}
