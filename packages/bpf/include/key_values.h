/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Values of enumerated key fields; the agent writes them as text (apps/agent/src/snapshot/dimension-text.ts). */
#ifndef WAGGLE_KEY_VALUES_H
#define WAGGLE_KEY_VALUES_H

/* __u8 direction */
#define DIRECTION_SENT 1
#define DIRECTION_RECEIVED 2

/* __u8 operation */
#define OPERATION_OTHER 0
#define OPERATION_READ 1
#define OPERATION_WRITE 2
#define OPERATION_FLUSH 3
#define OPERATION_DISCARD 4
#define OPERATION_FSYNC 5
#define OPERATION_FDATASYNC 6
#define OPERATION_SYNC_FILE_RANGE 7
#define OPERATION_MSYNC 8
#define OPERATION_SYNCFS 9
#define OPERATION_SYNC 10

/*
 * __u16 protocol: below 0x100 an IP protocol number, 0 not known; 0x100 + address family of a socket that does not speak IP; 0x200 + what the
 * kernel puts in the place of an ethertype below 0x400; from 0x600 on an ethertype.
 */
#define PROTOCOL_FAMILY 0x100
#define PROTOCOL_ETHERTYPE 0x200
#define ETHERTYPE_MIN 0x600

/* __u8 rcode: no answer came in time. Answer codes of the DNS header have 4 bits. */
#define DNS_TIMEOUT 0xff

#endif
