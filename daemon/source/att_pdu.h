/*
 * The numbers of the Attribute Protocol (Core Specification, Vol 3 Part F 3.4; Part G 3.3), for our
 * own client (att.c, gatt.c) and for who follows somebody else's (attribute.c).
 */
#pragma once

#include "model/frame.h"

/* An answer is the number after its request's. */
enum att_opcode {
	ATT_ERROR_RESPONSE = 0x01, /* opcode of the request, handle, enum att_error */
	ATT_MTU_REQUEST = 0x02,	   /* mtu */
	ATT_MTU_RESPONSE = 0x03,
	ATT_FIND_INFORMATION_REQUEST = 0x04,  /* first handle, last handle */
	ATT_FIND_INFORMATION_RESPONSE = 0x05, /* u8 enum att_format, {handle, UUID} */
	ATT_FIND_BY_TYPE_VALUE_REQUEST = 0x06,
	ATT_FIND_BY_TYPE_VALUE_RESPONSE = 0x07,
	ATT_READ_BY_TYPE_REQUEST = 0x08,  /* first handle, last handle, UUID */
	ATT_READ_BY_TYPE_RESPONSE = 0x09, /* u8 size of each, {handle, value} */
	ATT_READ_REQUEST = 0x0a,	  /* handle */
	ATT_READ_RESPONSE = 0x0b,	  /* value */
	ATT_READ_BLOB_REQUEST = 0x0c,	  /* handle, offset */
	ATT_READ_BLOB_RESPONSE = 0x0d,	  /* value from there */
	ATT_READ_MULTIPLE_REQUEST = 0x0e,
	ATT_READ_MULTIPLE_RESPONSE = 0x0f,
	ATT_READ_BY_GROUP_REQUEST = 0x10,  /* first handle, last handle, UUID */
	ATT_READ_BY_GROUP_RESPONSE = 0x11, /* u8 size of each, {handle, end handle, value} */
	ATT_WRITE_REQUEST = 0x12,	   /* handle, value */
	ATT_WRITE_RESPONSE = 0x13,
	ATT_PREPARE_WRITE_REQUEST = 0x16,
	ATT_PREPARE_WRITE_RESPONSE = 0x17,
	ATT_EXECUTE_WRITE_REQUEST = 0x18,
	ATT_EXECUTE_WRITE_RESPONSE = 0x19,
	ATT_NOTIFICATION = 0x1b, /* handle, value */
	ATT_INDICATION = 0x1d,	 /* handle, value */
	ATT_CONFIRMATION = 0x1e,
	ATT_READ_MULTIPLE_VARIABLE_REQUEST = 0x20,
	ATT_READ_MULTIPLE_VARIABLE_RESPONSE = 0x21,
	ATT_MULTIPLE_NOTIFICATION = 0x23, /* {handle, size, value} */
	ATT_COMMAND_BIT = 0x40,		  /* not answered */
	ATT_WRITE_COMMAND = 0x52,	  /* handle, value */
};

enum att_error {
	ATT_ERROR_INVALID_HANDLE = 0x01,
	ATT_ERROR_READ_NOT_PERMITTED = 0x02,
	ATT_ERROR_WRITE_NOT_PERMITTED = 0x03,
	ATT_ERROR_INVALID_PDU = 0x04,
	ATT_ERROR_AUTHENTICATION = 0x05,
	ATT_ERROR_NOT_SUPPORTED = 0x06,
	ATT_ERROR_INVALID_OFFSET = 0x07,
	ATT_ERROR_AUTHORIZATION = 0x08,
	ATT_ERROR_NOT_FOUND = 0x0a,
	ATT_ERROR_NOT_LONG = 0x0b,
	ATT_ERROR_KEY_SIZE = 0x0c,
	ATT_ERROR_VALUE_LENGTH = 0x0d,
	ATT_ERROR_ENCRYPTION = 0x0f,
};

enum att_format { ATT_FORMAT_16 = 1, ATT_FORMAT_128 = 2 };

/* Of declarations and descriptors (Assigned Numbers 3.5 to 3.8). */
enum att_type {
	ATT_TYPE_PRIMARY_SERVICE = 0x2800, /* value: UUID of the service */
	ATT_TYPE_CHARACTERISTIC = 0x2803,  /* value: u8 properties, handle of the value, UUID */
	ATT_TYPE_CCCD = 0x2902,		   /* client characteristic configuration: u16, below */
	ATT_TYPE_SERVICE_CHANGED =
		0x2a05, /* a characteristic: what is known is not true any more */
};

enum { ATT_CCCD_NOTIFY = 1 << 0, ATT_CCCD_INDICATE = 1 << 1 };

enum {
	ATT_MTU_LEAST = 23,  /* before any exchange, and the least that one can agree on */
	ATT_MTU_OURS = 517,  /* what we take: an attribute of 512 bytes in any PDU */
	ATT_VALUE_MAX = 512, /* Part F 3.2.9 */
};

/* UUIDs of 2 or 16 bytes as they are in PDUs, least significant first. */

/* The short form; 0: it has none. */
uint16_t att_pdu_short_uuid(const uint8_t *uuid, size_t size);
/* CHARACTERISTIC_UNKNOWN: none of ours. */
enum characteristic att_pdu_characteristic(const uint8_t *uuid, size_t size);
