/* `vitalctl decode UUID HEX...`: what a payload means, for whoever debugs a strap. */
#pragma once

/* 0: printed; 1: the bytes are not what they should be; 2: the command line is not. */
int command_decode(int argc, char **argv);
