/*
 * The bytes that chest straps send, as fast as they are asked for: a minute of each heart, drawn
 * once by the model of daemon/source/heart.h, over and over.
 */
#pragma once

#include "model/frame.h"

enum { STRAPS_MAX = 16, ECG_FRAME_SAMPLES = 73 };

struct straps;

struct straps *straps_free(struct straps *s);
DEFINE_CLEANUP(struct straps *, straps_free)
int straps_new(size_t n, struct straps **ret);
/* The next notification of a strap, borrowed until the next call. */
void straps_heart_rate(struct straps *s, size_t strap, usec_t now, struct frame *ret);
void straps_ecg(struct straps *s, size_t strap, usec_t now, struct frame *ret);
const char *straps_address(const struct straps *s, size_t strap);
