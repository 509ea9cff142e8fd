/* Gzip of text that comes in pieces; memory is kept from body to body. For sink/ itself. */
#pragma once

#include "util/buf.h"

struct gzip;

struct gzip *gzip_free(struct gzip *z);
int gzip_new(struct gzip **ret);
DEFINE_CLEANUP(struct gzip *, gzip_free)
/*
 * Starts a file at the end of `out`, which is borrowed until gzip_end(). Out of memory:
 * out->failed.
 */
void gzip_begin(struct gzip *z, struct buf *out);
void gzip_write(struct gzip *z, const void *data, size_t size);
void gzip_end(struct gzip *z);
