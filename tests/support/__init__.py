"""What tests share: doubles that pass the contract suites, and facts about this machine."""
