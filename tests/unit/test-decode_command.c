/* ctl/decode: the exact lines that `vitalctl decode` prints, its sentences and its exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/decode.c" /* vitalctl's files are in no library */

#include <unistd.h>

enum { ARGS_MAX = 16, TEXT_SIZE = 4096 };

static char out[TEXT_SIZE], err[TEXT_SIZE];

static void read_back(FILE *f, char ret[static TEXT_SIZE])
{
	rewind(f);
	ret[fread(ret, 1, TEXT_SIZE - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
}

/* Runs the command with stdout and stderr in files. */
static int run(const char *const *args)
{
	char *argv[ARGS_MAX] = {(char *)"decode"};
	FILE *to_out = tmpfile(), *to_err = tmpfile();
	int argc = 1, saved_out = dup(1), saved_err = dup(2), status;

	assert_true(to_out && to_err && saved_out >= 0 && saved_err >= 0);
	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)args[argc - 1];
	(void)fflush(stdout);
	assert_true(dup2(fileno(to_out), 1) == 1 && dup2(fileno(to_err), 2) == 2);
	status = command_decode(argc, argv);
	(void)fflush(stdout);
	assert_true(dup2(saved_out, 1) == 1 && dup2(saved_err, 2) == 2);
	(void)close(saved_out);
	(void)close(saved_err);
	read_back(to_out, out);
	read_back(to_err, err);
	return status;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void assert_prints(const char *uuid, const char *hex, const char *line)
{
	assert_int_equal(RUN(uuid, hex), 0);
	assert_string_equal(out, line);
	assert_string_equal(err, "");
}

static void assert_refuses(const char *uuid, const char *hex, const char *sentence)
{
	assert_int_equal(RUN(uuid, hex), 1);
	assert_string_equal(out, "");
	assert_string_equal(err, sentence);
}

static void test_heart_rate(void **state)
{
	assert_prints("2a37", "163c1104",
		      "{\"bpm\":60,\"rr_1024\":[1041],\"contact\":\"contact\"}\n");
	assert_prints("2a37", "0400", "{\"bpm\":0,\"rr_1024\":[],\"contact\":\"no contact\"}\n");
	assert_prints("2a37", "1843d00772038a03",
		      "{\"bpm\":67,\"rr_1024\":[882,906],\"contact\":\"unsupported\","
		      "\"energy_kj\":2000}\n");
	assert_refuses(
		"2a37", "0112",
		"vitalctl decode: heart rate measurement: byte 2 is missing, the last is 0x12 "
		"at byte 1: expected a heart rate of 16 bits in bytes 1 and 2\n");
	assert_refuses(
		"2a37", "",
		"vitalctl decode: heart rate measurement: byte 0 is missing, there are none: "
		"expected a byte of flags\n");
}

static void test_device(void **state)
{
	assert_prints("2a19", "64", "{\"battery_percent\":100}\n");
	assert_prints("2a38", "01", "{\"body_sensor_location\":\"chest\",\"value\":1}\n");
	assert_prints("2a24", "506f6c61722048313000", "{\"model_number\":\"Polar H10\"}\n");
	assert_prints("2a29", "41", "{\"manufacturer_name\":\"A\"}\n");
	assert_prints("2a25", "42", "{\"serial_number\":\"B\"}\n");
	assert_prints("2a26", "43", "{\"firmware_revision\":\"C\"}\n");
	assert_prints("2a27", "44", "{\"hardware_revision\":\"D\"}\n");
	assert_prints("2a28", "", "{\"software_revision\":\"\"}\n");
	assert_refuses(
		"2a19", "65",
		"vitalctl decode: battery level: byte 0 is 0x65: expected a battery level of 0 "
		"to 100 percent (0x64)\n");
}

#define PMD_DATA    "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
#define PMD_CONTROL "fb005c81-02e7-f387-1cad-8acd2d8df0c8"

static void test_pmd_data(void **state)
{
	assert_prints(PMD_DATA,
		      "00009435770000000000"
		      "91ffff010000",
		      "{\"kind\":\"ecg\",\"t_ns\":2000000000,\"uv\":[-111,1]}\n");
	assert_prints(PMD_DATA,
		      "02009435770000000000"
		      "ff0240fd0000",
		      "{\"kind\":\"acc\",\"t_ns\":2000000000,\"mg\":[[-1,2,64],[-3,0,0]]}\n");
	assert_refuses(PMD_DATA,
		       "00009435770000000000"
		       "91ffff0100",
		       "vitalctl decode: PMD data: byte 13 is 0x01: expected samples of 3 bytes, "
		       "2 bytes are left over\n");
	assert_refuses(PMD_DATA,
		       "05009435770000000000"
		       "91ffff0100",
		       "vitalctl decode: PMD data: byte 0 is 0x05: expected ECG (00), PPG (01), "
		       "ACC (02) or "
		       "PPI (03), this is type 5 (gyro)\n");
	assert_int_equal(RUN(PMD_DATA, "00"), 1);
}

static void test_pmd_control(void **state)
{
	assert_prints(PMD_CONTROL, "f00100000000018200",
		      "{\"op\":1,\"type\":0,\"error\":0,\"error_name\":\"success\","
		      "\"params\":\"00018200\"}\n");
	assert_prints(PMD_CONTROL, "f000010a",
		      "{\"op\":0,\"type\":1,\"error\":10,\"error_name\":\"invalid MTU\","
		      "\"params\":\"\"}\n");
	assert_prints(PMD_CONTROL, "0f0500000000", "{\"features\":[\"ecg\",\"acc\"]}\n");
	assert_prints(PMD_CONTROL, "0f0002", "{\"features\":[\"sdk_mode\"]}\n");
	assert_int_equal(RUN(PMD_CONTROL, "0f"), 1);
	assert_int_equal(RUN(PMD_CONTROL, "f0"), 1);
	assert_refuses(
		PMD_CONTROL, "0100",
		"vitalctl decode: PMD control point: byte 0 is 0x01: expected 0xf0 (an answer) "
		"or 0x0f (features)\n");
}

static void test_readings(void **state)
{
	assert_prints("2a1c", "006c0100ff",
		      "{\"readings\":[{\"kind\":\"temperature\",\"unit\":\"Cel\",\"status\":0,"
		      "\"rows\":[[36.4]]}]}\n");
	assert_prints("2a5f", "006200ff07",
		      "{\"readings\":[{\"kind\":\"oximetry\",\"unit\":\"%\",\"status\":0,"
		      "\"rows\":[[98,null]]}]}\n");
	assert_prints("2a35", "02bd100b009ff0e20704110f330027",
		      "{\"readings\":[{\"kind\":\"blood_pressure\",\"t_ns\":577295460000000000,"
		      "\"unit\":\"mm[Hg]\",\"status\":0,\"rows\":[[1890,11,15.9,null]]}]}\n");
	assert_prints("2a36", "00bdf0ff07ff07", "{\"readings\":[]}\n");
	assert_prints(PMD_DATA,
		      "03009435770000000000"
		      "3ce8031e0006",
		      "{\"readings\":[{\"kind\":\"ppi\",\"t_ns\":2000000000,\"unit\":\"/min\","
		      "\"status\":0,\"rows\":[[60,1000,30,6]]}]}\n");
	assert_refuses(
		"2a1c", "006c01",
		"vitalctl decode: temperature measurement: byte 3 is missing, the last is 0x01 "
		"at byte 2: expected a temperature and what the flags promise\n");
}

static void test_ways_to_write(void **state)
{
	static const char line[] = "{\"bpm\":60,\"rr_1024\":[1041],\"contact\":\"unsupported\"}\n";

	assert_prints("0x2A37", "10:3C:11:04", line);
	assert_prints("00002a37-0000-1000-8000-00805f9b34fb", "10-3c-11-04", line);
	assert_prints("2A37", " 10 3c 11 04 ", line);
	assert_int_equal(RUN("2a37", "10", "3c11", "0x04"), 0);
	assert_string_equal(out, line);
}

static void test_not_understood(void **state)
{
	assert_int_equal(RUN("2a37", "1g"), 2);
	assert_string_equal(out, "");
	assert_string_equal(err,
			    "vitalctl decode: \"1g\" is not hexadecimal at character 2: type two "
			    "digits for each byte, as in 10:3c:11:04\n");
	assert_int_equal(RUN("2a37", "10", "3"), 2);
	assert_int_equal(RUN("2a37", "1:03c"), 2);
	assert_int_equal(RUN("2a37"), 2);
	assert_non_null(strstr(err, "vitalctl decode 2a37 16 3c 11 04"));
	assert_int_equal(RUN("2a99", "10"), 2);
	assert_string_equal(out, "");
	assert_non_null(strstr(err, "\"2a99\" is no UUID"));
	assert_non_null(strstr(err, "2a37"));
	assert_non_null(strstr(err, PMD_DATA));
}

static void test_help(void **state)
{
	assert_int_equal(RUN("--help"), 0);
	assert_non_null(strstr(out, "usage: vitalctl decode UUID HEX..."));
	assert_non_null(strstr(out, PMD_DATA));
	assert_string_equal(err, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heart_rate),     cmocka_unit_test(test_device),
		cmocka_unit_test(test_pmd_data),       cmocka_unit_test(test_pmd_control),
		cmocka_unit_test(test_readings),       cmocka_unit_test(test_ways_to_write),
		cmocka_unit_test(test_not_understood), cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
