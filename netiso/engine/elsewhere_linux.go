package engine

// elsewhere tells whether every engine of such a machine is in a virtual machine.
const elsewhere = false
