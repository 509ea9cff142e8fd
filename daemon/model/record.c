/* The words for a record's enumerations, as the wire, the journal and vitalctl write them. */
#include "model/record.h"

static const char *name_of(const char *const *names, size_t n, unsigned value)
{
	return value < n && names[value] ? names[value] : "unknown";
}

const char *kind_name(unsigned kind)
{
	static const char *const names[] = {
		[KIND_HEART_RATE] = "heart_rate",
		[KIND_ECG] = "ecg",
		[KIND_OXIMETRY] = "oximetry",
		[KIND_TEMPERATURE] = "temperature",
		[KIND_BLOOD_PRESSURE] = "blood_pressure",
		[KIND_ACCELERATION] = "acceleration",
		[KIND_PPG] = "ppg",
		[KIND_PPI] = "ppi",
		[KIND_ECG_COUNTS] = "ecg_counts",
	};

	return name_of(names, ARRAY_SIZE(names), kind);
}

const char *channel_name(unsigned kind, unsigned channel)
{
	static const char *const numbered[SAMPLES_CHANNELS_MAX] = {
		"channel_1",  "channel_2",  "channel_3",  "channel_4",	"channel_5",  "channel_6",
		"channel_7",  "channel_8",  "channel_9",  "channel_10", "channel_11", "channel_12",
		"channel_13", "channel_14", "channel_15", "channel_16", "channel_17"};
	static const char *const names[KIND_MAX][4] = {
		[KIND_OXIMETRY] = {"spo2", "pulse_rate", "pulse_amplitude_index"},
		[KIND_TEMPERATURE] = {"temperature"},
		[KIND_BLOOD_PRESSURE] = {"systolic", "diastolic", "mean", "pulse_rate"},
		[KIND_ACCELERATION] = {"x", "y", "z"},
		[KIND_PPI] = {"bpm", "interval_ms", "error_ms", "flags"},
		[KIND_ECG_COUNTS] = {"ecg"},
	};

	if (kind < KIND_MAX && channel < ARRAY_SIZE(names[0]) && names[kind][channel])
		return names[kind][channel];
	return name_of(numbered, ARRAY_SIZE(numbered), channel);
}

const char *unit_name(unsigned unit)
{
	static const char *const names[] = {
		[UNIT_PERCENT] = "%",	  [UNIT_CELSIUS] = "Cel",     [UNIT_FAHRENHEIT] = "[degF]",
		[UNIT_MMHG] = "mm[Hg]",	  [UNIT_KPA] = "kPa",	      [UNIT_MILLI_G] = "m[g]",
		[UNIT_COUNT] = "{count}", [UNIT_PER_MINUTE] = "/min",
	};

	return name_of(names, ARRAY_SIZE(names), unit);
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
		[GAP_STORE_FULL] = "store_full",	 [GAP_ADAPTER] = "adapter",
		[GAP_BLUETOOTHD] = "bluetoothd",	 [GAP_SILENT] = "silent",
		[GAP_BACKFILLED] = "backfilled",	 [GAP_SALVAGE] = "salvage"};

	return name_of(names, ARRAY_SIZE(names), reason);
}
