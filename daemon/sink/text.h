/* JSON strings for the heads of a body. For sink/ itself. */
#pragma once

#include "util/buf.h"
#include "util/uuid.h"

void text_string(struct buf *out, const char *text);
void text_uuid(struct buf *out, const struct uuid *u);
