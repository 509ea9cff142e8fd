/*
 * What Polar's wearables say in their files and answers, the few messages of it that a recording
 * takes (protocol buffers), and how they are asked.
 */
#pragma once

#include "decode/decode.h"
#include "decode/psftp.h"

enum { POLAR_NAME_MAX = 64 };

/* One of a directory: borrowed from its bytes, not terminated. */
struct polar_entry {
	const char *name;
	size_t n_name; /* a directory's ends with '/' */
	uint64_t size;
};

/* A name for the owner's eyes, and to be compared: cut, and '?' for what cannot be printed. */
void polar_name(const void *name, size_t size, char ret[static POLAR_NAME_MAX + 1]);

/* PbPFtpDirectory: the entry at *at, which moves on. False: there are no more, or no sense. */
bool polar_next_entry(const void *directory, size_t size, size_t *at, struct polar_entry *ret);

struct polar_status {
	bool recording;
	char name[POLAR_NAME_MAX + 1]; /* of what is recorded; cut; printable */
};

/* PbRequestRecordingStatusResult. DECODE_E_MALFORMED */
int polar_status_decode(const void *data, size_t size, struct polar_status *ret,
			struct decode_error *error);

/* What SAMPLES.BPB holds: one of the two, usually. */
struct polar_samples {
	uint32_t interval_ms; /* between heart rates */
	size_t n_bpm, n_rr;
};

/*
 * PbExerciseSamples: values go to `ret_values`, first n_bpm heart rates, then n_rr intervals in ms;
 * it must have room for as many as the file has bytes. DECODE_E_MALFORMED
 */
int polar_samples_decode(const void *data, size_t size, uint16_t *ret_values,
			 struct polar_samples *ret, struct decode_error *error);

/* An operation on a path, made ready to be sent. False: the path is too long. */
bool polar_operation(struct psftp_writer *w, enum psftp_operation operation, const char *path);
/* Record intervals between beats, under this name. False: it is too long. */
bool polar_start_beats(struct psftp_writer *w, const char *name);
