/* The words for a record's enumerations, as the wire, the journal and vitalctl write them. */
#include "model/record.h"

static const char *name_of(const char *const *names, size_t n, unsigned value)
{
	return value < n && names[value] ? names[value] : "unknown";
}

const char *kind_name(unsigned kind)
{
	static const char *const names[] = {[KIND_HEART_RATE] = "heart_rate", [KIND_ECG] = "ecg"};

	return name_of(names, ARRAY_SIZE(names), kind);
}

const char *clk_name(unsigned clk)
{
	static const char *const names[] = {
		[CLK_PENDING] = "pending", [CLK_UTC] = "utc", [CLK_EST] = "est"};

	return name_of(names, ARRAY_SIZE(names), clk);
}

const char *contact_name(unsigned contact)
{
	static const char *const names[] = {[CONTACT_UNSUPPORTED] = "unsupported",
					    [CONTACT_NONE] = "no contact",
					    [CONTACT_YES] = "contact"};

	return name_of(names, ARRAY_SIZE(names), contact);
}

const char *gap_reason_name(unsigned reason)
{
	static const char *const names[] = {
		[GAP_LINK_LOSS] = "link_loss",		 [GAP_DISCONNECTED] = "disconnected",
		[GAP_DAEMON_DOWN] = "daemon_down",	 [GAP_POWER_CUT] = "power_cut",
		[GAP_MISSING_FRAMES] = "missing_frames", [GAP_CLOCK_RESET] = "clock_reset",
		[GAP_STORE_FULL] = "store_full"};

	return name_of(names, ARRAY_SIZE(names), reason);
}
