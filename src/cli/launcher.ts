/** How often a process looks whether its launcher is still there. */
const lookMs = 250

/**
 * Ends this process, as SIGTERM does, when the one that started it is gone. npm runs scripts in a shell; a signal sent to
 * npm ends that shell, and what runs in it would go on with nobody to end it.
 */
export function endWithLauncher(): void {
  const launcher = process.ppid
  const look = setInterval(() => {
    if (process.ppid === launcher) return
    clearInterval(look)
    process.kill(process.pid, 'SIGTERM')
  }, lookMs)
  look.unref()
}

/** Whether npm or npx runs this. */
export function isRunByNpm(): boolean {
  return process.env['npm_lifecycle_event'] !== undefined
}
