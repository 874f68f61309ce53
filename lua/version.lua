-- version: which build of the contract is loaded.
--
-- ARGV   none
-- REPLY  {build, digest}  a higher build adds to a lower one; the digest tells two texts of one build apart
-- FLAGS  no-writes
-- USES   nothing

return {BUILD, DIGEST}
