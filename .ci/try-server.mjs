// Waits until a server that is starting answers /ready, then asks it one real question. Exits non-zero with a reason.
// Arguments: base URL, process id of what starts the server. Runs on the machine's own Node, so it is plain JavaScript.

const [baseUrl, pid] = process.argv.slice(2)
const deadline = Date.now() + 300_000

await waitUntilReady()
console.log(`${baseUrl}/ready answers`)

const response = await fetch(`${baseUrl}/chat`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ message: 'What is 1337 * 42?' }),
  signal: AbortSignal.timeout(30_000),
})
const text = await response.text()
console.log(`POST /chat: ${response.status} ${text}`)
if (response.status !== 200) fail(`POST /chat answered ${response.status}`)
if (!text.includes('56154')) fail('the answer to 1337 * 42 does not hold 56154')

async function waitUntilReady() {
  for (;;) {
    const ready = await fetch(`${baseUrl}/ready`, { signal: AbortSignal.timeout(5_000) }).catch(
      () => undefined,
    )
    if (ready?.ok) return
    if (!isAlive()) fail('the command ended before the server was ready')
    if (Date.now() > deadline) fail('the server was not ready within five minutes')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function isAlive() {
  try {
    return process.kill(Number(pid), 0)
  } catch {
    return false
  }
}

function fail(reason) {
  console.log(`FAILED: ${reason}`)
  process.exit(1)
}
