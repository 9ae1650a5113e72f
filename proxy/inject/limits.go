package inject

// maxGrowth is how many bytes longer a text may become by the values in it. A client writes
// as many placeholders as it likes, and a value may be a thousand times as long as one.
const maxGrowth = 256 << 10
