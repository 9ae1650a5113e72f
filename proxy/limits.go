package proxy

import "time"

const (
	// maxHeaderBytes bounds a request's head. More is 431.
	maxHeaderBytes = 64 << 10
	// maxResponseHeaderBytes bounds an upstream's head. More is 502.
	maxResponseHeaderBytes = 256 << 10
	// max1xx bounds the informational answers before an upstream's own. More is 502.
	max1xx = 64
	// maxLine bounds one line of a request's head; the head's own bound is lower, so
	// it only keeps the framing check from hoarding.
	maxLine = 2 * maxHeaderBytes
	// maxChunkLine bounds a chunk's size with its extensions, maxChunkNoise what is no
	// data of all chunks, as net/http reckons it, and maxTrailers the trailers. net/http
	// bears twice as much of each and then hangs up without a word.
	maxChunkLine  = 2 << 10
	maxChunkNoise = 8 << 10
	maxTrailers   = 2 << 10
	// maxSniff is how many first bytes tell TLS from HTTP from all else.
	maxSniff = 24
	// maxRecordedPath and maxRecordedName bound what a client can write into a record.
	maxRecordedPath = 1 << 10
	maxRecordedName = 253

	// maxHeaders bounds the fields of a request's head. More is 431.
	maxHeaders = 256
	// maxTurn is how long a request waits where its session sends faster than it may.
	// What would wait longer is 429.
	maxTurn = time.Second
	// recheckEvery is how often it is looked whether what is open may still have its
	// credentials: sooner than the second in which a revocation is to be felt.
	recheckEvery = 500 * time.Millisecond
	// maxMeters is of how many sessions it is remembered what they have spent.
	maxMeters = 8192
	// maxStrangers is how many connections to one listener may be open that have not
	// said whose they are. The one that came first makes room.
	maxStrangers = 1024

	// maxSearchedBody bounds a body in which placeholders are looked for. More is 413.
	maxSearchedBody = 10 << 20
	// maxHeldBodies is how many such bodies of one session are in memory at a time. The
	// next one waits.
	maxHeldBodies = 8
	// holdTimeout is how long such a body may take to come, so that a few that never do
	// end do not keep the session's others waiting. More is 408.
	holdTimeout = 2 * time.Minute
	// maxMessage bounds a WebSocket's text message in which placeholders are looked for.
	// A larger one closes the WebSocket (1009).
	maxMessage = 1 << 20

	// maxStreams bounds the concurrent requests of one HTTP/2 connection.
	maxStreams = 250
	// maxUpstreams is how many upstreams keep connections for one session. The one
	// used longest ago makes room, and its idle connections are closed.
	maxUpstreams = 64
	// maxUnreadAnswer is how much of an answer over HTTP/2 an upstream may send ahead of a
	// client that does not read. It is also what one answer can have on the way at a time.
	maxUnreadAnswer = 1 << 20
	// maxIdlePerUpstream is how many connections one upstream keeps between requests.
	maxIdlePerUpstream = 16

	// openTimeout bounds the first byte and the TLS handshake of a connection to us,
	// and of a tunnel inside it.
	openTimeout = 30 * time.Second
	// headTimeout bounds the reading of a request's head (slowloris).
	headTimeout = 30 * time.Second
	// idleTimeout is how long a client's connection may wait between two requests.
	idleTimeout = 10 * time.Minute
	// upstreamIdleTimeout is how long an upstream's connection is kept unused.
	upstreamIdleTimeout = 90 * time.Second
	// upstreamTLSTimeout bounds the TLS handshake with an upstream.
	upstreamTLSTimeout = 15 * time.Second
	// continueTimeout is how long an upload that asked waits for "100 Continue".
	continueTimeout = time.Second
	// pingAfter and pingTimeout find an HTTP/2 upstream that died without a word.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// closeTimeout is how long an upstream may take to close a WebSocket that we ended.
	closeTimeout = 5 * time.Second
	// maxAcceptPause is the longest wait after accept failed, as it does when the
	// process is out of file descriptors.
	maxAcceptPause = time.Second
	// copyBuffer is the size of one piece of a body.
	copyBuffer = 32 << 10
	// eventBuffer is the same for a stream of events, which keeps it while it is silent.
	eventBuffer = 4 << 10
	// upstreamReadBuffer and upstreamWriteBuffer are what an HTTP/1 upstream's connection keeps
	// for as long as it is open, a silent event stream's too. They are for heads: a piece of a
	// body is larger, and passes them by.
	upstreamReadBuffer  = 1 << 10
	upstreamWriteBuffer = 2 << 10
)
