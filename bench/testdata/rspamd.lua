-- Reads paths of messages from its input, and answers each with the number of
-- URLs that rspamd finds in it, as "rspamadm mime urls" does. Run by rspamadm
-- lua -b, so that only the reading of messages is measured.
local rspamd_task = require "rspamd_task"
local rspamd_url = require "rspamd_url"

assert(rspamd_config:load_ucl(rspamd_paths["CONFDIR"] .. "/rspamd.conf"))
assert(rspamd_config:parse_rcl({ "logging", "worker" }))
rspamd_url.init(rspamd_config:get_tld_path())
for path in io.lines() do
  local ok, task = rspamd_task.load_from_file(path, rspamd_config)
  assert(ok and task:process_message(), path)
  io.write(#task:get_urls(true, true), "\n")
  io.flush()
  task:destroy()
end
