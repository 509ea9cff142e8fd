/*
 * `vitald`: one program with three lives. Without a command it is the daemon; `vitald drain` and its
 * like are layer 3, processes of their own that timers start; `vitald simulate` plays wearables for
 * tests and the demo.
 */
#include "background.h"
#include "daemon.h"

#include "model/config.h"
#include "salvager.h"
#include "source/source.h"
#include "util/log.h"

#include <getopt.h>
#include <stdio.h>

static const char help[] =
	"vitald [OPTIONS] [COMMAND]\n"
	"\n"
	"Reads samples (heart rate, ECG and others) from wearables, keeps them, sends\n"
	"them to servers, loses none.\n"
	"\n"
	"Commands\n"
	"  (none)     be the daemon; systemd does this: systemctl start vitald\n"
	"  drain      send what waits, then end; beside a running, hung or dead daemon\n"
	"  reconcile  compare with what the servers hold, send again what they lack\n"
	"  cleanup    check the store, delete what was confirmed long ago\n"
	"  simulate   play wearables, for tests and the demo: vitald simulate --help\n"
	"\n"
	"Options\n"
	"  -c, --config FILE  another config than " CONFIG_DEFAULT_FILE "\n"
	"  --check-config     say what is wrong in it, with file and line, and end\n"
	"  --timer            a timer started this: quiet, and nothing if timers = no\n"
	"  --version          print the version and end\n"
	"  -h, --help         this\n"
	"\n"
	"Three layers: what is heard is sent at once; what failed waits in a queue and\n"
	"is tried again; drain, reconcile and cleanup, started by timers, look after\n"
	"the rest. They ask a running daemon (drain waits for it), and do it themselves\n"
	"for a dead one. Without a network drain and reconcile do nothing.\n"
	"\n"
	"Exit status: 0 done, or nothing to do; 64 usage; 65 the store is newer or\n"
	"damaged and was not touched; 75 something is left, try again later; 78 a\n"
	"mistake in the config; 1 anything else.\n"
	"\n"
	"How is it doing?  vitalctl status     What happened?  sudo journalctl -u vitald\n";

static int check_config(const char *path)
{
	_cleanup_(config_freep) struct config *config = NULL;

	if (load_config(path, &config) != 0)
		return EXIT_CONFIG;
	printf("%s: no mistakes\n", path);
	return EXIT_SUCCESS;
}

static const struct duty *duty_find(const char *command)
{
	static const struct duty *const duties[] = {&duty_drain, &duty_reconcile, &duty_cleanup};

	for (size_t i = 0; i < ARRAY_SIZE(duties); i++)
		if (streq(duties[i]->name, command))
			return duties[i];
	return NULL;
}

static int misused(const char *what, const char *word)
{
	fprintf(stderr, "vitald: %s '%s'; vitald --help tells what there is\n", what, word);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"check-config", no_argument, NULL, 'k'},
						{"timer", no_argument, NULL, 't'},
						{"version", no_argument, NULL, 'V'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *path = CONFIG_DEFAULT_FILE;
	const struct duty *duty;
	bool check = false, by_timer = false;
	int option;

	log_init(LOG_TARGET_AUTO, LOG_INFO);
	if (argc > 1 && streq(argv[1], "simulate"))
		return simulator_main(argc - 1, argv + 1);
	if (argc == 3 && streq(argv[1], "salvage")) /* the daemon's own child */
		return salvage_main(argv[2]);
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c': path = optarg; break;
		case 'k': check = true; break;
		case 't': by_timer = true; break;
		case 'V': printf("vitald " VITALD_VERSION "\n"); return EXIT_SUCCESS;
		case 'h': fputs(help, stdout); return EXIT_SUCCESS;
		default: fputs("vitald --help tells more\n", stderr); return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return check ? check_config(path) : daemon_main(path);
	duty = duty_find(argv[optind]);
	if (!duty)
		return misused("unknown command", argv[optind]);
	if (check)
		return misused("--check-config goes with no command, and here is", duty->name);
	if (optind + 1 < argc)
		return misused("too much behind the command:", argv[optind + 1]);
	return background_main(duty, path, by_timer);
}
