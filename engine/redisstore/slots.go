package redisstore

import "strconv"

// slots is the number of slots of every Redis Cluster.
const slots = 16384

// MaxPartitions is the most partitions of a namespace. Each costs every process three
// connections, and eight commands a second even without requests: at the most, 800
// connections and 2,000 commands. There are many slots for each, so partitions spread evenly
// over the nodes.
const MaxPartitions = 256

// partitionTag returns the tag of partition i of n. No namespace has a slash, so no tag is
// that of another namespace. It has n, so no tag is that of a partition of another number.
// Numbers alone would spread the partitions badly: 16 over 6
// nodes as 4, 4, 0, 4, 3, 1. So the tag ends in the first number that puts it into the
// i-th n-th of the slots.
func partitionTag(namespace string, i, n int) string {
	for try := 0; ; try++ {
		tag := namespace + "/" + strconv.Itoa(i) + "." + strconv.Itoa(n) + "-" + strconv.Itoa(try)
		if slotOf(tag)*n/slots == i {
			return tag
		}
	}
}

// slotOf returns the slot of keys with a tag: CRC-16/XMODEM, modulo the number of slots
// (Redis Cluster specification, "Key distribution model").
func slotOf(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
	}
	return int(crc) % slots
}
