/*
 * MESSAGE_IDs of what an operator must act on, or will look for. Each has a paragraph in
 * systemd/vitald.catalog (what happened, why, what to do); a test holds the two lists together.
 * `vitalctl` and the journal show the same sentence; `journalctl -x` adds the paragraph.
 */
#pragma once

#define CATALOG_STARTED		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e01"
#define CATALOG_STOPPED		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e02"
#define CATALOG_TAIL_RECOVERED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e03"
#define CATALOG_TAIL_LOST	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e04"
#define CATALOG_TAIL_FOREIGN	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e05"
#define CATALOG_STORE_TROUBLE	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e06"
#define CATALOG_STORE_FULL	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e07"
#define CATALOG_SINK_DOWN	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e08"
#define CATALOG_SINK_UP		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e09"
#define CATALOG_SINK_HELD	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0a"
#define CATALOG_QUARANTINED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0b"
#define CATALOG_CONFLICT	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0c"
#define CATALOG_SUMMARY		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0d"
#define CATALOG_DEVICE_CONNECTED "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0e"
#define CATALOG_DEVICE_LOST	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e0f"
#define CATALOG_UNDECODABLE	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e10"
#define CATALOG_SOURCE_MISSING	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e11"
#define CATALOG_CONFIG_BAD	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e12"
#define CATALOG_CONFIG_APPLIED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e13"
#define CATALOG_CLOCK_UNSYNCED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e14"
#define CATALOG_CLOCK_STEPPED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e40"
#define CATALOG_OWNER_BUSY	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e15"
#define CATALOG_DRAIN		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e16"
#define CATALOG_SERVER_BEHIND	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e18"
#define CATALOG_COMMIT_LATE	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e17"
#define CATALOG_NETWORK		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e50"
#define CATALOG_CLEANUP		 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e51"
#define CATALOG_RECONCILE	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e60"
#define CATALOG_BACKFILLED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e33"
#define CATALOG_DEVICE_RECOVERY	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e30"
#define CATALOG_ADAPTER_CYCLED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e31"
#define CATALOG_RESTART_ASKED	 "5c8f2d0e6b1a4f0c9d7e3a1b2c4d5e32"
