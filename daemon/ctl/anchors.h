/* `vitalctl anchors export | import | rewind | accept`. */
#pragma once

#include "ctl/command.h"

int anchors_export(struct ctl *ctl, int argc, char **argv);
int anchors_import(struct ctl *ctl, int argc, char **argv);
int anchors_rewind(struct ctl *ctl, int argc, char **argv);
int anchors_accept(struct ctl *ctl, int argc, char **argv);
