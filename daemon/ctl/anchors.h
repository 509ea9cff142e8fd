/* `vitalctl anchors export | import | rewind`. */
#pragma once

#include "ctl/command.h"

int anchors_export(struct ctl *ctl, int argc, char **argv);
int anchors_import(struct ctl *ctl, int argc, char **argv);
int anchors_rewind(struct ctl *ctl, int argc, char **argv);
