.section socket
.func bad
r0 is 0
exit
