/*
 * The streams and sinks of a store by their names: found, or made.
 */
#pragma once

#include "store/look.h"

/* Finds or makes the stream; a new one is committed at once. Its number stays for ever. */
int register_stream(struct store *s, const char *device, enum kind kind, const char *subject,
		    uint32_t *ret);
/* Finds or makes the sink. `from_now`: a new one starts behind what is there already (exempt). */
int register_sink(struct store *s, const char *name, bool required, bool from_now, uint32_t *ret);
/*
 * Sinks that were not asked for with register_sink() since the last call are retired: they keep
 * their cursors and hold nothing. Once after each time the config was read.
 */
int register_retire_sinks(struct store *s);
