/* SPDX-License-Identifier: MIT */
#ifndef OPENSNOOP_H
#define OPENSNOOP_H

/* One opened file, as it stands in the ring buffer "events". */
struct open_event {
	unsigned long long time_ns;
	unsigned int pid;
	unsigned int uid;
	int result;
	int flags;
	char comm[16];
	char path[255];
};

#endif
