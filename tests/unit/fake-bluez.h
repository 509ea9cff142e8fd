/*
 * A bluetoothd for tests: owns org.bluez on a private bus (fake-bus.h), on the test's own loop, and
 * does what bluetoothd 5.66 does with wearables that the test makes up, whose moods it changes at
 * any time. It advertises once a second of told time, as they do; all else happens at once.
 */
#pragma once

#include "model/frame.h"

#include <stdatomic.h>
#include <systemd/sd-bus.h>

enum {
	FAKE_ADAPTERS_MAX = 2,
	FAKE_STRAPS_MAX = 80,
	FAKE_CHARACTERISTICS = 5,
	FAKE_PATH_SIZE = 96,
};

enum fake_mood {
	FAKE_WELL,
	FAKE_RADIO_HANGS, /* no call that needs the controller is answered, until it was off and on */
	FAKE_RADIO_BROKEN, /* the same, and that does not help */
	FAKE_RADIO_DEAD,   /* nor is that */
	FAKE_MOOD_MAX_,
};

/* What a link of this wearable comes to. */
enum fake_link {
	FAKE_LINK_GOOD,
	FAKE_LINK_FAILS,      /* Connect: Failed, le-connection-abort-by-local */
	FAKE_LINK_UNANSWERED, /* Connect does not return until Disconnect cancels it */
	FAKE_LINK_UNRESOLVED, /* comes up, and its services never */
	FAKE_LINK_BUSY,	      /* Connect: InProgress */
	FAKE_LINK_DUMB,	      /* comes up, and no read, write or subscription is answered */
};

struct fake_adapter {
	char path[FAKE_PATH_SIZE]; /* "": not plugged in */
	const char *address;
	bool powered, discovering;
	bool blocked;  /* by rfkill: cannot be powered */
	bool filtered; /* the client has said what it looks for: LE ... */
	bool all;      /* ... and whatever it advertises */
	enum fake_mood mood;
	bool feigns;   /* to be busy with a scan, and begins none */
	bool reticent; /* switched off, it does not tell that links ended */
};

struct fake_characteristic {
	bool notifying; /* by StartNotify */
	int fd;		/* of AcquireNotify; -1: none */
	bool foreign;	/* another program has called StartNotify */
	bool ghost;	/* "Notify acquired", though nobody has, until the link ends */
};

struct fake_strap {
	struct fake_adapter *adapter;
	/* what it is, and does: the test's to set */
	char address[DEVICE_ADDRESS_SIZE];
	const char *name;
	const char *identity; /* the address that pairing gives it; NULL: it has it already */
	bool random;	      /* the type of its address */
	bool near;	      /* it advertises, and can be connected */
	unsigned every;	      /* seconds between its advertisements; 0: 1 */
	bool has_ecg;
	bool bare; /* advertises no service */
	enum fake_link link;
	bool secure;	 /* PMD wants an encrypted link */
	bool refuses;	 /* to pair */
	bool forgets;	 /* whatever it is paired with, at once */
	bool forgot;	 /* the bond: the link drops as soon as it is up, until it is paired anew */
	bool sticks;	 /* Connected stays true after Disconnect */
	bool haunted;	 /* all its characteristics are ghosts, on every link */
	bool speechless; /* the control point takes commands and says nothing */
	uint8_t pmd_error; /* answer to every start */
	/* what bluetoothd knows: to be asked about */
	char path[FAKE_PATH_SIZE]; /* "": nothing */
	bool connected, resolved, paired, trusted;
	bool kept;	       /* it was connected or paired: not forgotten in half a minute */
	usec_t seen;	       /* when it last advertised */
	int rssi;	       /* 0: not heard in this discovery */
	uint8_t battery;       /* percent */
	bool listed;	       /* its services */
	usec_t ends;	       /* when Disconnect takes effect; 0: it was not called */
	sd_bus_message *asked; /* a Connect without an answer */
	struct fake_characteristic characteristics[FAKE_CHARACTERISTICS];
};

struct fake_bluez;

struct fake_bluez *fake_bluez_new(sd_event *event);
struct fake_bluez *fake_bluez_free(struct fake_bluez *f);

/*
 * bluetoothd ends, and loses all that it knew but its bonds: in order, which takes down links and
 * adapters first, or at once; and starts again. It begins started.
 */
void fake_bluez_stop(struct fake_bluez *f);
void fake_bluez_crash(struct fake_bluez *f);
void fake_bluez_start(struct fake_bluez *f);
/* It answers nothing at all, and tells nothing. */
/* It answers nothing at all, and tells nothing. */
void fake_bluez_hang(struct fake_bluez *f, bool hangs);
/* hci0 and hci1; powered. */
struct fake_adapter *fake_bluez_plug(struct fake_bluez *f, unsigned n, const char *address);
void fake_bluez_unplug(struct fake_bluez *f, struct fake_adapter *a);
void fake_bluez_power(struct fake_bluez *f, struct fake_adapter *a, bool powered);
/* A wearable with heart rate and ECG that is near and well; lives as long as the fake. */
struct fake_strap *fake_bluez_strap(struct fake_bluez *f, struct fake_adapter *a,
				    const char *address, const char *name);
/* So many others advertise, once, and are gone before anybody can connect. */
void fake_bluez_crowd(struct fake_bluez *f, struct fake_adapter *a, unsigned n);
/* bluetoothd knows it from before, by its bond. */
void fake_bluez_bond(struct fake_bluez *f, struct fake_strap *s);
/* Its link comes up without our asking; breaks, or it ends it: bluetoothd 5.66 does not tell which. */
void fake_bluez_link(struct fake_bluez *f, struct fake_strap *s);
void fake_bluez_lose(struct fake_bluez *f, struct fake_strap *s);
/* It ends its link, and bluetoothd says so, as 5.83 does. */
void fake_bluez_leave(struct fake_bluez *f, struct fake_strap *s);
void fake_bluez_drain(struct fake_bluez *f, struct fake_strap *s, uint8_t percent);
/* Somebody else, say bluetoothctl, has paired with it. */
void fake_bluez_pair(struct fake_bluez *f, struct fake_strap *s);
/* A notification or indication, by whichever way it was asked for. False: nobody asked. */
bool fake_bluez_notify(struct fake_bluez *f, struct fake_strap *s, enum characteristic c,
		       const void *data, size_t size);
/* The socket of this characteristic ends, the link does not. */
void fake_bluez_end(struct fake_bluez *f, struct fake_strap *s, enum characteristic c);

/*
 * How often this was called, on the path, or on any (NULL): "Connect", "StartDiscovery", ...
 * "PowerOff" and "PowerOn" are Set of Powered; "Rash" is a Connect while it scans, or connects
 * somebody else: bluetoothd allows it, controllers fail at it.
 */
unsigned fake_bluez_calls(const struct fake_bluez *f, const char *method, const char *path);
bool fake_bluez_has_agent(const struct fake_bluez *f);
/* Asks it whether this one may pair: the name of an error, or "" for yes. */
const char *fake_bluez_ask(struct fake_bluez *f, const struct fake_strap *s);
/* The unique name of whoever came to the bus first; "": nobody. */
const char *fake_bluez_client(const struct fake_bluez *f);
/* Answers from a loop of its own while another thread is busy, until that is done. */
void fake_bluez_serve(struct fake_bluez *f, const atomic_bool *done);
/* Turns the loop until both sides have said all that they have to say at this time. */
void fake_bluez_settle(struct fake_bluez *f);
/* Moves time on, from timer to timer, until the condition holds; false: it did not, in so long. */
bool fake_bluez_until(struct fake_bluez *f, bool (*condition)(void *userdata), void *userdata,
		      usec_t patience);
